"""The boards that somebody reads: each is kept up to date, and encoded, once for all its readers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import trio

from nodeprefetch.aggregator.counters import Budget
from nodeprefetch.aggregator.fair_lock import FairLock
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.store.board import InstanceBoard
from nodeprefetch.aggregator.store.store import Store

_EVERY = 1.0
"""Seconds between two looks at what has changed."""

_IDLE = 60.0
"""Seconds without a reader after which a board is dropped."""

_BOARDS, _NODES = 8, 10_000
"""Boards that are kept, and nodes on them, before one more is opened. 10,000 nodes with 50 images hold some 15 MB."""


class SharedText:
    """An encoded message, which any number of readers are sending.

    Args:
        name: of the server-sent event.
        text: its data, JSON.
    """

    def __init__(self, name: bytes, text: bytes) -> None:
        self.name = name
        self.text = text
        self.readers = 0


class SharedTexts:
    """Counts messages in the budget while readers hold them, once each.

    Args:
        budget: of all requests and responses.
        most: bytes of all messages that are held. Slow readers would else use up the budget, with a message each.
    """

    def __init__(self, budget: Budget, most: int) -> None:
        self._budget = budget
        self._most = most
        self.held = 0
        """Bytes."""

    def acquire(self, shared: SharedText) -> None:
        """Hold a message until `release`.

        Raises:
            RefusedError: too much is held; retry when others have sent what they hold.
        """
        if not shared.readers:
            if self.held and self.held + len(shared.text) > self._most:
                raise RefusedError(429, "busy", "too many readers send messages")
            self._budget.take(len(shared.text))
            self.held += len(shared.text)
        shared.readers += 1

    def release(self, shared: SharedText) -> None:
        """Stop holding a message."""
        shared.readers -= 1
        if not shared.readers:
            self._budget.release(len(shared.text))
            self.held -= len(shared.text)


class OpenBoard:
    """A board that is kept in memory.

    Args:
        board: the board.
        lock: held for each step of work.
    """

    def __init__(self, board: InstanceBoard, lock: FairLock) -> None:
        self.board = board
        self.readers = 0
        self.read_at = trio.current_time()
        """When it was last read; by Trio's clock."""

        self.next_look = trio.current_time()
        """When it may be looked for changes again; by Trio's clock."""

        self._turn = partial(lock.hold, "")
        self._refreshing = trio.Lock()
        self._whole: SharedText | None = None
        self._change: SharedText | None = None

    async def look(self) -> None:
        """Take changes, if nobody has done so in the last second.

        Raises:
            sqlite3.Error: the database cannot be read.
        """
        async with self._refreshing:
            if trio.current_time() < self.next_look:
                return
            await self.board.refresh(self._turn)
            self.next_look = trio.current_time() + _EVERY
            self._whole = self._change = None

    def whole(self) -> SharedText:
        """Return the board as JSON. Call it right after `look`."""
        if self._whole is None:
            self._whole = SharedText(b"board", msgspec.json.encode(self.board.whole(time.time())))
        return self._whole

    def news(self, revision: int | None) -> SharedText:
        """Return what leads from a revision to the latest one, as a message. Call it right after `look`.

        Args:
            revision: what the reader has; None: nothing.
        """
        change = self.board.change
        if revision is None or revision + 1 != self.board.revision or change is None:
            return self.whole()
        if self._change is None:
            self._change = SharedText(b"change", msgspec.json.encode(change))
        return self._change


class Boards:
    """The boards in memory, by the instance's name.

    Args:
        store: where the states are.
        lock: held for each step of work.
        retry_after: seconds a client should wait when there are too many.
    """

    def __init__(self, store: Store, lock: FairLock, retry_after: int) -> None:
        self._store = store
        self._lock = lock
        self._retry_after = retry_after
        self._open: dict[str, OpenBoard] = {}

    async def run(self) -> None:
        """Drop boards that nobody reads, until cancelled."""
        while True:
            await trio.sleep(_IDLE / 4)
            before = trio.current_time() - _IDLE
            for name in [name for name, each in self._open.items() if not each.readers and each.read_at <= before]:
                self._drop(name)

    @contextmanager
    def reading(self, instance: str, number: int) -> Iterator[OpenBoard]:
        """Keep the board of an instance open for a reader.

        Args:
            instance: its name.
            number: its number.

        Raises:
            RefusedError: too many are open.
        """
        opened = self._open.get(instance)
        if opened is None or opened.board.number != number:
            if opened is not None:
                self._drop(instance)
            self._make_room()
            opened = self._open[instance] = OpenBoard(InstanceBoard(self._store, instance, number), self._lock)
        opened.readers += 1
        try:
            yield opened
        finally:
            opened.readers -= 1
            opened.read_at = trio.current_time()

    def _make_room(self) -> None:
        while len(self._open) >= _BOARDS or sum(each.board.nodes for each in self._open.values()) > _NODES:
            unread = [(each.read_at, name) for name, each in self._open.items() if not each.readers]
            if not unread:
                raise RefusedError(
                    429, "too_many_boards", "boards of too many instances are open", retry_after=self._retry_after
                )
            self._drop(min(unread)[1])

    def _drop(self, instance: str) -> None:
        self._open.pop(instance).board.close()
