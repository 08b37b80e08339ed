"""The one writer of the database: many submissions in one transaction, each of them wholly or not at all."""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

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
