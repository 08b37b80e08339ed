"""A lock for work that takes milliseconds without a pause: one holder at a time, addresses in turn."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class FairLock:
    """Lets one task at a time do work that takes milliseconds.

    If hundreds of tasks did such work at once, everybody else would wait for all of them before each of their own
    steps. Waiting addresses take turns, so an address that asks for much delays only itself.
    """

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: dict[str, deque[trio.Event]] = {}

    @asynccontextmanager
    async def hold(self, address: str) -> AsyncIterator[None]:
        """Wait for the lock and hold it for the block.

        Args:
            address: the remote address that the work is for.
        """
        if self._is_held:
            await self._wait(address)
        self._is_held = True
        try:
            await trio.lowlevel.checkpoint()  # lets others run, even if the block never waits
            yield
        finally:
            self._wake_next()

    async def _wait(self, address: str) -> None:
        woken = trio.Event()
        self._waiting.setdefault(address, deque()).append(woken)
        try:
            await woken.wait()
        except trio.Cancelled:
            if woken.is_set():
                self._wake_next()
            else:
                self._waiting[address].remove(woken)
                if not self._waiting[address]:
                    del self._waiting[address]
            raise

    def _wake_next(self) -> None:
        address = next(iter(self._waiting), None)
        if address is None:
            self._is_held = False
            return
        queue = self._waiting.pop(address)
        woken = queue.popleft()
        if queue:
            self._waiting[address] = queue  # after the other addresses
        woken.set()
