"""How patience grows: for each round of attempts, its time limit and the longest pause after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Round(NamedTuple):
    """One round of attempts and the pause after it, in seconds."""

    timeout: float
    """Limit of each attempt."""

    max_delay: float
    """The longest pause before the next round; what is waited is a random part of it, see `full_jitter`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Limits and pauses that double from round to round, up to their caps. All in seconds.

    Raises:
        ValueError: a limit that is not above 0, or a pause below 0.
    """

    initial_timeout: float = 30.0
    max_timeout: float = 300.0
    """The cap; also the first limit when it is the smaller one."""
    initial_delay: float = 1.0
    max_delay: float = 600.0

    def __post_init__(self) -> None:
        if not (self.initial_timeout > 0 and self.max_timeout > 0):
            raise ValueError("the limit of an attempt must be above 0 seconds")
        if not (self.initial_delay >= 0 and self.max_delay >= 0):
            raise ValueError("the pause between attempts must not be below 0 seconds")

    @property
    def first_timeout(self) -> float:
        """Limit of the first round's attempts, the shortest of all."""
        return min(self.initial_timeout, self.max_timeout)

    def rounds(self) -> Iterator[Round]:
        """All rounds, without end: by default limits 30, 60, 120, 240, 300 …, pauses 1, 2, 4 … 512, 600 …."""
        timeout = self.first_timeout
        delay = min(self.initial_delay, self.max_delay)
        while True:
            yield Round(timeout, delay)
            timeout = min(2 * timeout, self.max_timeout)
            delay = min(2 * delay, self.max_delay)


def full_jitter(max_delay: float, chance: Callable[[], float]) -> float:
    """A pause between 0 and the longest one, so that the nodes of a cluster do not come back all at once.

    Args:
        max_delay: seconds, from `Round.max_delay`.
        chance: gives a number from 0 up to 1 each time: `random.random`, or a test's.
    """
    return max_delay * chance()
