"""Coalesces requests: those that ask for the same content together share one answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

import trio

from nodeprefetch.aggregator.fair_lock import FairLock

_PAUSE = 0.1
"""Seconds between two contents, during which requests gather."""


@dataclass(slots=True)
class _Pending:
    """Content that is not ready yet."""

    content: bytes | None = None


class Coalescer:
    """Makes content once for all who ask for it together.

    Requests never arrive all at once, so a request right after finished content waits briefly for others.

    Args:
        lock: held while content is made.
    """

    def __init__(self, lock: FairLock) -> None:
        self._lock = lock
        self._next: dict[str, _Pending] = {}
        self._making = trio.Lock()
        self._paused_until = -inf

    async def get(self, key: str, make: Callable[[], Awaitable[bytes]], address: str) -> bytes:
        """Return content whose making began after this call.

        Args:
            key: requests with the same key share content.
            make: makes it. Another caller's function may be used instead.
            address: the remote address that asks, for the lock.
        """
        pending = self._next.setdefault(key, _Pending())
        async with self._making:
            if pending.content is None:
                await trio.sleep_until(self._paused_until)
                async with self._lock.hold(address):
                    if self._next.get(key) is pending:
                        del self._next[key]  # later callers might miss something in this one
                    try:
                        pending.content = await make()
                    finally:
                        self._paused_until = trio.current_time() + _PAUSE
        return pending.content
