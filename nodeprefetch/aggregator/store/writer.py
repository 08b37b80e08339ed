"""The one writer of the database. Submissions that wait together share a transaction; each is stored wholly or not."""

import hashlib
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.damage import is_damage
from nodeprefetch.aggregator.store.records import Receipt, Records, Submission
from nodeprefetch.aggregator.store.schema import VERSION
from nodeprefetch.errors import NodeprefetchError


class StoreError(NodeprefetchError):
    """The database could not be written or read: a full disk, a broken one. Nothing of the transaction is kept."""


class Store:
    """What was submitted.

    It is used from one thread alone, that of Trio: a transaction of thousands of results takes milliseconds, and a
    second thread would wait for the interpreter's lock between any two of them.

    Args:
        database: as `open_database` gives it.
        bounds: how much may be in it.
        results_kept: how many attempts are kept, the newest.
        log: takes a line for people when the database cannot be written, and when it can be again.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        bounds: Bounds,
        results_kept: int = 1_000_000,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.database = database
        self._results_kept = results_kept
        self._log = log
        self._is_behind = False
        self._over = ""
        self.records = Records(database, bounds)
        self.version = 0
        """Another number after every change."""

        self.problem: RefusedError | None = None
        """Why the database cannot be used, as the last transaction or reading has shown."""

        self.is_suspect = False
        """The database may be damaged: this is found out before it is believed to be usable again."""

        self._opened = secrets.token_hex(4)

    @property
    def tag(self) -> str:
        """Another text for every state of the database, also over restarts: what an ETag is made of."""
        return f"{self._opened}-{self.version}"

    @property
    def is_healthy(self) -> bool:
        """Whether it can be written and read, as far as is known."""
        return self.problem is None

    def write(self, requests: Sequence[Sequence[Submission]], now: int) -> list[Receipt | RefusedError]:
        """Store them, in one transaction. Once this returns they are stored.

        Args:
            requests: the submissions of each, in the order of arrival.
            now: Unix seconds.

        Returns:
            one answer for each: a submission beyond a bound is refused and leaves nothing behind, and nothing that
            comes after it in its request is looked at.

        Raises:
            StoreError: nothing is stored.
        """
        try:
            if self._is_behind:
                self._probe()
                self._reload()
            self.database.execute("BEGIN IMMEDIATE")
            answers = [self._write_request(request, now) for request in requests]
            self.records.tallies.write()
            self.records.keep_newest(self._results_kept)
            self.database.execute("COMMIT")
        except sqlite3.Error as error:
            self.fail("the results could not be stored", error)
            with suppress(sqlite3.Error):
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
            raise StoreError(f"the results could not be stored: {error}") from error
        self._pass()
        self.version += 1
        return answers

    def fail(self, what: str, error: sqlite3.Error) -> None:
        """Something could not be written. Logged once, until it can be again."""
        self._is_behind = True
        self._fail("not_stored", what, "written", error)

    def fail_reading(self, error: sqlite3.Error) -> RefusedError:
        """Something could not be read. Logged once, until it can be again. Returns what to answer."""
        what = "the results could not be read"
        self.is_suspect = True
        return self._fail("not_readable", what, "read", error)

    def _fail(self, reason: str, what: str, done: str, error: sqlite3.Error) -> RefusedError:
        self.is_suspect = self.is_suspect or is_damage(error)
        refused = RefusedError(503, reason, f"{what}: {error}", retry_after=self.records.bounds.retry_after)
        if self.problem is None:
            self.problem = refused
            self._over = f"the database can be {done} again"
            self._log(f"{what}: {error}; not ready until the database can be {done} again")
        return refused

    def recover(self) -> None:
        """After a failure, see whether the database can be written again: nobody may submit while it cannot.

        Raises:
            sqlite3.Error: it cannot.
        """
        if self.is_healthy:
            return
        self._probe()
        self._reload()
        self._pass()

    def _probe(self) -> None:
        self.database.execute(f"PRAGMA user_version = {VERSION}")  # what it is already; it is written all the same

    def _pass(self) -> None:
        if self.problem is not None and not self.is_suspect:
            self.problem = None
            self._log(self._over)

    def _reload(self) -> None:
        """What is kept in memory is again what is in the database."""
        self.records.reload()
        self.records.count()
        self._is_behind = False

    def _write_request(self, request: Sequence[Submission], now: int) -> Receipt | RefusedError:
        accepted = duplicates = 0
        for submission in request:
            answer = self._write(submission, now)
            if isinstance(answer, RefusedError):
                return answer
            accepted += answer.accepted
            duplicates += answer.duplicates
        return Receipt(accepted=accepted, duplicates=duplicates)

    def _write(self, submission: Submission, now: int) -> Receipt | RefusedError:
        """A refused one undoes what it has done itself, and costs no more than that."""
        if not submission.batch.events:
            return Receipt(accepted=0, duplicates=0)
        self.database.execute("SAVEPOINT submission")
        self.records.begin()
        answer: Receipt | RefusedError
        try:
            answer = self.records.write(submission, now)
        except RefusedError as refused:
            self.database.execute("ROLLBACK TO submission")
            self.records.undo()
            answer = refused
        self.database.execute(
            "RELEASE submission"
        )  # not after an error: on a full disk SQLite has rolled back by itself
        return answer


_GROUP = 10_000
"""Events in one transaction: some 50 ms during which nothing else happens."""

_REMEMBERED = 10_000
"""Digests of bodies kept, to know one that comes again."""


class _Waiting:
    def __init__(self, submissions: Sequence[Submission]) -> None:
        self.submissions = submissions
        self.done = trio.Event()
        self.answer: Receipt | RefusedError = Receipt(accepted=0, duplicates=0)

    @property
    def size(self) -> int:
        return sum(max(1, len(submission.batch.events)) for submission in self.submissions)


class Ingest:
    """The way into the store.

    Args:
        store: written by this alone.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: list[_Waiting] = []
        self._work = trio.Event()
        self._news = trio.Event()
        self.is_stopping = False
        """No more news is to be waited for."""
        self._bodies: OrderedDict[bytes, None] = OrderedDict()

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._queue:
                self._store_group(self._next_group())
                await trio.lowlevel.checkpoint()

    async def submit(self, submissions: Sequence[Submission], body: bytes | bytearray = b"") -> Receipt:
        """Store them. When this returns, they are stored.

        Args:
            submissions: of one request.
            body: the request's body, to know one that is sent again.

        Raises:
            RefusedError: a bound, or the database cannot be written.
        """
        digest = hashlib.blake2b(body, digest_size=16).digest() if body else b""
        if digest in self._bodies:
            return Receipt(accepted=0, duplicates=sum(len(each.batch.events) for each in submissions))
        waiting = _Waiting(submissions)
        self._queue.append(waiting)
        self._work.set()
        try:
            await waiting.done.wait()
        finally:
            if not waiting.done.is_set():  # cancelled: nobody counts these bytes any more, so they must go
                self._queue.remove(waiting)
        if isinstance(waiting.answer, RefusedError):
            raise waiting.answer
        if digest:
            self._remember(digest)
        return waiting.answer

    async def news(self) -> None:
        """Wait until something more is stored."""
        await self._news.wait()

    def stop(self) -> None:
        """Let go who waits for news."""
        self.is_stopping = True
        self._news.set()

    def _next_group(self) -> list[_Waiting]:
        size = count = 0
        while count < len(self._queue) and (count == 0 or size + self._queue[count].size <= _GROUP):
            size += self._queue[count].size
            count += 1
        group, self._queue = self._queue[:count], self._queue[count:]
        return group

    def _store_group(self, group: Sequence[_Waiting]) -> None:
        try:
            answers = self._store.write([waiting.submissions for waiting in group], int(time.time()))
        except StoreError as error:
            retry_after = self._store.records.bounds.retry_after
            answers = [RefusedError(503, "not_stored", str(error), retry_after=retry_after) for _ in group]
        for waiting, answer in zip(group, answers, strict=True):
            waiting.answer = answer
            waiting.done.set()
        self._news.set()
        self._news = trio.Event()

    def _remember(self, digest: bytes) -> None:
        self._bodies[digest] = None
        if len(self._bodies) > _REMEMBERED:
            self._bodies.popitem(last=False)
