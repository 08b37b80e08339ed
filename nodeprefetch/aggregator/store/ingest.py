"""Takes submissions from all requests to the store: whoever waits together is stored in one transaction."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence

import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.writer import Store, StoreError

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
