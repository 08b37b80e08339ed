"""Turns for what takes long without a pause: one at a time, and one address after the other."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


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
        await trio.lowlevel.checkpoint()  # others go on, also between one's own turns
        if self._is_taken:
            await self._wait(address)
        self._is_taken = True
        try:
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
