"""The task that writes to the store. Requests that wait together share a transaction; each is stored whole or not."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence

import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.store import Store, StoreError

_GROUP = 10_000
"""Events in one transaction: some 50 ms during which nothing else runs."""

_REMEMBERED = 10_000
"""Digests of bodies kept, to recognize one that is sent again."""


class _PendingRequest:
    def __init__(self, submissions: Sequence[Submission]) -> None:
        self.submissions = submissions
        self.done = trio.Event()
        self.result: Receipt | RefusedError = Receipt(accepted=0, duplicates=0)

    @property
    def size(self) -> int:
        return sum(max(1, len(submission.batch.events)) for submission in self.submissions)


class Writer:
    """Writes requests to the store, from one task.

    Args:
        store: nothing else writes events to it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: list[_PendingRequest] = []
        self._work = trio.Event()
        self._stored = trio.Event()
        self.is_stopping = False
        """Whether readers should stop waiting for events."""
        self._bodies: OrderedDict[bytes, None] = OrderedDict()

    async def run(self) -> None:
        """Store requests until cancelled."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._queue:
                self._store_group(self._next_group())
                await trio.lowlevel.checkpoint()

    async def submit(self, submissions: Sequence[Submission], body: bytes | bytearray = b"") -> Receipt:
        """Store the submissions of a request. They are stored when this returns.

        Args:
            submissions: those of one request.
            body: the request's body, to recognize one that is sent again.

        Raises:
            RefusedError: a limit is reached, or the database cannot be written.
        """
        digest = hashlib.blake2b(body, digest_size=16).digest() if body else b""
        if digest in self._bodies:
            return Receipt(accepted=0, duplicates=sum(len(each.batch.events) for each in submissions))
        pending = _PendingRequest(submissions)
        self._queue.append(pending)
        self._work.set()
        try:
            await pending.done.wait()
        finally:
            if not pending.done.is_set():  # cancelled: the budget no longer counts these bytes, so drop them
                self._queue.remove(pending)
        if isinstance(pending.result, RefusedError):
            raise pending.result
        if digest:
            self._remember(digest)
        return pending.result

    async def wait_stored(self) -> None:
        """Wait until something else is stored."""
        await self._stored.wait()

    def stop(self) -> None:
        """Wake readers that wait for events, so that they end."""
        self.is_stopping = True
        self._stored.set()

    def _next_group(self) -> list[_PendingRequest]:
        size = count = 0
        while count < len(self._queue) and (count == 0 or size + self._queue[count].size <= _GROUP):
            size += self._queue[count].size
            count += 1
        group, self._queue = self._queue[:count], self._queue[count:]
        return group

    def _store_group(self, group: Sequence[_PendingRequest]) -> None:
        try:
            results = self._store.write([pending.submissions for pending in group], int(time.time()))
        except StoreError as error:
            retry_after = self._store.records.bounds.retry_after
            results = [RefusedError(503, "not_stored", str(error), retry_after=retry_after) for _ in group]
        for pending, result in zip(group, results, strict=True):
            pending.result = result
            pending.done.set()
        self._stored.set()
        self._stored = trio.Event()

    def _remember(self, digest: bytes) -> None:
        self._bodies[digest] = None
        if len(self._bodies) > _REMEMBERED:
            self._bodies.popitem(last=False)
