"""Turns for what takes long without a pause: one at a time, and one address after the other."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf

import trio

_REST = 0.1
"""Seconds between two texts, in which a crowd gathers."""


class Turns:
    """Lets one task at a time do what takes milliseconds.

    Where hundreds do so at once, everybody else would wait for all of them before each step of theirs. Whoever waits is
    called by address, so an address that asks for much delays itself.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: dict[str, deque[trio.Event]] = {}

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the block."""
        if self._is_taken:
            await self._wait(address)
        self._is_taken = True
        try:
            await trio.lowlevel.checkpoint()  # others go on, also where the block does not wait for anything
            yield
        finally:
            self._call_next()

    async def _wait(self, address: str) -> None:
        called = trio.Event()
        self._waiting.setdefault(address, deque()).append(called)
        try:
            await called.wait()
        except trio.Cancelled:
            if called.is_set():
                self._call_next()
            else:
                self._waiting[address].remove(called)
                if not self._waiting[address]:
                    del self._waiting[address]
            raise

    def _call_next(self) -> None:
        address = next(iter(self._waiting), None)
        if address is None:
            self._is_taken = False
            return
        queue = self._waiting.pop(address)
        called = queue.popleft()
        if queue:
            self._waiting[address] = queue  # behind the other addresses
        called.set()


@dataclass(slots=True)
class _Wanted:
    """A text that is not begun yet, or not done."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    text: bytes | None = None


class SharedTexts:
    """Makes one text for all who ask for it together.

    As a crowd is never there all at once, who comes right after a text was made waits a little for others.

    Args:
        turns: one is taken for each text.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._next: dict[str, _Wanted] = {}
        self._making = trio.Lock()
        self._rests_until = -inf

    async def made(self, name: str, make: Callable[[], Awaitable[bytes]], address: str) -> bytes:
        """A text that was begun after this was asked.

        Args:
            name: which; those with one name share.
            make: how. It may be the one of another who asked.
            address: whose turn it is.
        """
        wanted = self._next.setdefault(name, _Wanted())
        async with wanted.lock:
            if wanted.text is None:
                async with self._making:
                    await trio.sleep_until(self._rests_until)
                    async with self._turns.turn(address):
                        if self._next.get(name) is wanted:
                            del self._next[name]  # who asks from here on might miss something in it
                        try:
                            wanted.text = await make()
                        finally:
                            self._rests_until = trio.current_time() + _REST
        return wanted.text
