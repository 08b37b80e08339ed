"""What can become of a batch, and how to go on: with which protocol, after what pause. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nodeprefetch.events import Batch
from nodeprefetch.values.retry import RetryPolicy, Round, full_jitter


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


_PATIENT = RetryPolicy(initial_delay=0.5, max_delay=30)
_QUICK = RetryPolicy(initial_delay=0.25, max_delay=0.5)
_SLOW = 30.0
"""Seconds, the longest pause where somebody has to mend something first."""

_LONGEST_WISH = 60.0
"""Seconds of `Retry-After` that are honoured."""

_LONGEST_WISH_AT_THE_END = 5.0
"""The same when the run is over, and what is left has only the grace given."""


class Wire(StrEnum):
    """A protocol an aggregator may speak."""

    HTTP = "http"
    """Our stream of events."""

    GRPC = "grpc"
    """The older tool's `Metrics/Submit`."""


class Persistence:
    """Which protocol is spoken, and how long to wait before the next request.

    Where both may be spoken, ours is first. The other one's turn comes when the peer turns out not to speak ours;
    and ours again when that one does not work either. One that has worked stays, until the peer says clearly that
    it does not speak it.

    Args:
        wires: the protocols that may be spoken, in order.
        jitter: random numbers from 0 to 1.
    """

    def __init__(self, wires: tuple[Wire, ...], jitter: Callable[[], float]) -> None:
        self._wires = wires
        self._jitter = jitter
        self._policy = _PATIENT
        self._rounds: Iterator[Round] = _PATIENT.rounds()
        self._proven = False
        self.wire = wires[0]
        """The protocol of the next request."""

    def hurry(self) -> None:
        """The run is over: from now on only short pauses."""
        self._policy = _QUICK
        self._rounds = _QUICK.rounds()

    def pause_after(self, answer: Answer) -> float:
        """Seconds to wait before the next request; `wire` says how that is sent."""
        match answer:
            case Accepted():
                self._proven = True
                self._rounds = self._policy.rounds()
                return 0
            case Unfit():
                return 0
            case Foreign() if self._has_other and (answer.certain or not self._proven):
                self._switch()
                return 0 if self.wire is Wire.GRPC else self._next_pause()
            case Refused() | Foreign(certain=True):
                self._doubt()
                return self._next_pause() if self._is_hurried else full_jitter(_SLOW, self._jitter)
            case Unavailable(retry_after=float(wish)):
                return min(wish, _LONGEST_WISH_AT_THE_END if self._is_hurried else _LONGEST_WISH) + self._next_pause()
            case _:
                self._doubt()
                return self._next_pause()

    @property
    def _has_other(self) -> bool:
        return len(self._wires) > 1

    @property
    def _is_hurried(self) -> bool:
        return self._policy is _QUICK

    def _doubt(self) -> None:
        """The older protocol is left again when it has never worked: a guess is not stuck to."""
        if self._has_other and self.wire is Wire.GRPC and not self._proven:
            self._switch()

    def _switch(self) -> None:
        self.wire = Wire.HTTP if self.wire is Wire.GRPC else Wire.GRPC
        self._proven = False

    def _next_pause(self) -> float:
        return full_jitter(next(self._rounds).max_delay, self._jitter)
