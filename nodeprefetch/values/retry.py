"""Retry schedules: for each round of attempts, its timeout and the maximum delay after it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec


class Round(NamedTuple):
    """Timeout and delay of one round of attempts, in seconds."""

    timeout: float
    """Timeout of each attempt."""

    max_delay: float
    """Maximum delay before the next round. The actual delay is a random part of it, see `full_jitter`."""


class Timeouts(NamedTuple):
    """Timeouts of one attempt, in seconds."""

    seen: float
    """Of one whose progress is visible, or whose bytes are kept when it is cancelled."""

    unseen: float
    """Of any other: cancelling it may lose all that it has downloaded, although it moves."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Timeouts and delays that double from round to round, up to a maximum. All in seconds.

    Raises:
        ValueError: a timeout is not greater than 0, or a delay is negative.
    """

    initial_timeout: float = 30.0
    max_timeout: float = 300.0
    """Upper limit, also of the first timeout."""
    initial_delay: float = 1.0
    max_delay: float = 600.0

    def __post_init__(self) -> None:
        if not (self.initial_timeout > 0 and self.max_timeout > 0):
            raise ValueError("the timeout of an attempt must be greater than 0")
        if not (self.initial_delay >= 0 and self.max_delay >= 0):
            raise ValueError("the delay between attempts must not be negative")

    @property
    def first_timeout(self) -> float:
        """Timeout of the first round, the shortest of all."""
        return min(self.initial_timeout, self.max_timeout)

    def rounds(self) -> Iterator[Round]:
        """Yield rounds forever. Default: timeouts 30, 60, 120, 240, 300 …, maximum delays 1, 2, 4 … 512, 600 …."""
        timeout = self.first_timeout
        delay = min(self.initial_delay, self.max_delay)
        while True:
            yield Round(timeout, delay)
            timeout = min(2 * timeout, self.max_timeout)
            delay = min(2 * delay, self.max_delay)


def full_jitter(max_delay: float, chance: Callable[[], float]) -> float:
    """Return a random delay between 0 and the maximum, so that not all nodes of a cluster retry at once.

    Args:
        max_delay: seconds, from `Round.max_delay`.
        chance: returns a number from 0 up to 1, such as `random.random`.
    """
    return max_delay * chance()
