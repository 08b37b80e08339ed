"""How many unknown tokens one address may bring: few at once, and few that turn out to be no good."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from nodeprefetch.aggregator.refusal import RefusedError

_AT_ONCE = 3
"""Unknown tokens of one address that are asked about at one moment, those that were no good lately among them."""

_A_SECOND = 1.0
"""Tokens of one address a second that may turn out to be no good."""

_ADDRESSES = 10_000


@dataclass(slots=True)
class Stranger:
    """Somebody whose token is asked about."""

    is_bad: bool = False
    """The token turned out to be no good."""


@dataclass(slots=True)
class _Address:
    asked: int
    """Tokens that are asked about now."""

    bad: float
    """Those that were no good, less what time has forgiven."""

    at: float
    """Trio's time of that number."""


class Strangers:
    """Counts by address. A good token counts as long as it is asked about."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    @contextmanager
    def allowed(self, address: str) -> Iterator[Stranger]:
        """Inside, the address has one more token that is asked about.

        Raises:
            RefusedError: it has brought too many.
        """
        found = self._addresses.setdefault(address, _Address(0, 0.0, trio.current_time()))
        self._addresses.move_to_end(address)
        if len(self._addresses) > _ADDRESSES:
            self._addresses.popitem(last=False)
        now = trio.current_time()
        found.bad, found.at = max(0.0, found.bad - (now - found.at) * _A_SECOND), now
        if found.asked + found.bad > _AT_ONCE - 1:
            raise RefusedError(
                429, "too_many_tokens", f"too many unknown tokens come from {address or 'this client'}", retry_after=1
            )
        found.asked += 1
        stranger = Stranger()
        try:
            yield stranger
        finally:
            found.asked -= 1
            found.bad += stranger.is_bad
