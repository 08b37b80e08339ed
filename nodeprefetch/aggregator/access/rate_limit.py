"""Rate limit for unknown tokens: each address may have few under review at once, and few rejected ones a second."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from nodeprefetch.aggregator.refusal import RefusedError

_AT_ONCE = 3
"""Unknown tokens of one address under review at once, including those rejected recently."""

_A_SECOND = 1.0
"""Rejected tokens a second allowed for each address."""

_ADDRESSES = 10_000


@dataclass(slots=True)
class PendingToken:
    """An unknown token under review."""

    is_rejected: bool = False
    """Set by the reviewer of the token."""


@dataclass(slots=True)
class _Usage:
    """What one address uses of its limit."""

    pending: int
    """Tokens under review."""

    rejected: float
    """Rejected tokens, less `_A_SECOND` for each second since."""

    at: float
    """Trio's time at which `rejected` was computed."""


class TokenRateLimit:
    """Limits the unknown tokens of each address. A valid token counts only while it is under review."""

    def __init__(self) -> None:
        self._usages: OrderedDict[str, _Usage] = OrderedDict()

    @contextmanager
    def pending(self, address: str) -> Iterator[PendingToken]:
        """Count one more token of the address as under review for the block.

        Raises:
            RefusedError: the address has reached its limit.
        """
        usage = self._usages.setdefault(address, _Usage(0, 0.0, trio.current_time()))
        self._usages.move_to_end(address)
        if len(self._usages) > _ADDRESSES:
            self._usages.popitem(last=False)
        now = trio.current_time()
        usage.rejected, usage.at = max(0.0, usage.rejected - (now - usage.at) * _A_SECOND), now
        if usage.pending + usage.rejected > _AT_ONCE - 1:
            raise RefusedError(
                429, "too_many_tokens", f"too many unknown tokens from {address or 'this client'}", retry_after=1
            )
        usage.pending += 1
        token = PendingToken()
        try:
            yield token
        finally:
            usage.pending -= 1
            usage.rejected += token.is_rejected
