"""What became of a batch on its way to the aggregator, and who can take one there."""

from dataclasses import dataclass
from typing import Protocol

from nodeprefetch.events import Batch


@dataclass(frozen=True, slots=True)
class Accepted:
    """Acknowledged: the aggregator has it, and it need not be kept."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Not this batch as it is: too large, or something in it cannot be written. A part of it may go through."""

    text: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Passes by itself: nobody there, overloaded, broken, too slow."""

    text: str
    retry_after: float | None = None
    """Seconds the aggregator asked to be left alone."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Passes when somebody mends it: credentials, an aggregator of another version."""

    text: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """The peer does not speak this protocol, it seems."""

    text: str
    certain: bool = True
    """False: it only hung up without a word, as a peer does that dies."""


Answer = Accepted | Unfit | Unavailable | Refused | Foreign


class Delivery(Protocol):
    """Takes batches to an aggregator. The caller limits the time."""

    async def deliver(self, batch: Batch) -> Answer:
        """Take it there, and say what came of it."""
        ...
