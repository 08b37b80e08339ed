"""What can become of a batch, and how to continue: with which protocol, after what delay. No I/O."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol

import msgspec

from nodeprefetch.batch import Batch
from nodeprefetch.values.retry import RetryPolicy, Round, full_jitter


class WireProtocol(StrEnum):
    """A protocol that an aggregator may support."""

    HTTP = "http"
    """The stream of events of nodeprefetch."""

    GRPC = "grpc"
    """`Metrics/Submit` of image-prefetcher."""


class Transport(Protocol):
    """Sends batches to an aggregator. The caller limits the time."""

    async def deliver(self, batch: Batch) -> "DeliveryResult":
        """Send a batch and return what became of it."""
        ...


class Accepted(msgspec.Struct, frozen=True):
    """Acknowledged: the aggregator has the batch."""

    progress_interval: float = 0.0
    """Seconds between two batches with progress that the aggregator asks for."""


class Undeliverable(msgspec.Struct, frozen=True):
    """Not as it is: the batch is too large, or an event cannot be encoded. A part of it may get through."""

    text: str


class Unavailable(msgspec.Struct, frozen=True):
    """Temporary: nobody is listening, or the aggregator is overloaded, broken or too slow."""

    text: str
    retry_after: float | None = None
    """Seconds to wait, as the aggregator asks."""


class Rejected(msgspec.Struct, frozen=True):
    """Somebody has to fix something: credentials, or an aggregator of another version."""

    text: str


class UnsupportedProtocol(msgspec.Struct, frozen=True):
    """The peer does not seem to support this protocol."""

    text: str
    certain: bool = True
    """False: the connection was closed without a response, which also happens when a server is killed."""


DeliveryResult = Accepted | Undeliverable | Unavailable | Rejected | UnsupportedProtocol

_PATIENT = RetryPolicy(initial_delay=0.5, max_delay=30)
_QUICK = RetryPolicy(initial_delay=0.25, max_delay=0.5)
_SLOW = 30.0
"""Seconds, the longest delay where somebody has to fix something first."""

_MAX_RETRY_AFTER = 60.0
"""Seconds of `Retry-After` that are honored."""

_MAX_RETRY_AFTER_AT_THE_END = 5.0
"""The same after the run, when only `--report-grace` is left."""


class RetryState:
    """Which protocol to use, and how long to wait before the next request.

    Where both protocols are possible, HTTP is first. gRPC follows when the peer does not support HTTP, and HTTP again
    when gRPC does not work either. A protocol that has worked stays until the peer clearly says that it does not
    support it.

    Args:
        protocols: the possible protocols, in order.
        jitter: random numbers from 0 to 1.
    """

    def __init__(self, protocols: tuple[WireProtocol, ...], jitter: Callable[[], float]) -> None:
        self._protocols = protocols
        self._jitter = jitter
        self._policy = _PATIENT
        self._rounds: Iterator[Round] = _PATIENT.rounds()
        self._proven = False
        self.protocol = protocols[0]
        """The protocol of the next request."""

    def hurry(self) -> None:
        """Wait only briefly from now on: the run is over."""
        self._policy = _QUICK
        self._rounds = _QUICK.rounds()

    def delay_after(self, result: DeliveryResult) -> float:
        """Seconds to wait before the next request, for which `protocol` may have changed."""
        match result:
            case Accepted():
                self._proven = True
                self._rounds = self._policy.rounds()
                return 0
            case Undeliverable():
                return 0
            case UnsupportedProtocol() if self._has_other and (result.certain or not self._proven):
                self._switch()
                return 0 if self.protocol is WireProtocol.GRPC else self._next_delay()
            case Rejected() | UnsupportedProtocol(certain=True):
                self._doubt()
                return self._next_delay() if self._is_hurried else full_jitter(_SLOW, self._jitter)
            case Unavailable(retry_after=float(wanted)):
                limit = _MAX_RETRY_AFTER_AT_THE_END if self._is_hurried else _MAX_RETRY_AFTER
                return min(wanted, limit) + self._next_delay()
            case _:
                self._doubt()
                return self._next_delay()

    @property
    def _has_other(self) -> bool:
        return len(self._protocols) > 1

    @property
    def _is_hurried(self) -> bool:
        return self._policy is _QUICK

    def _doubt(self) -> None:
        """Leave gRPC again if it has never worked: it was only a guess."""
        if self._has_other and self.protocol is WireProtocol.GRPC and not self._proven:
            self._switch()

    def _switch(self) -> None:
        self.protocol = WireProtocol.HTTP if self.protocol is WireProtocol.GRPC else WireProtocol.GRPC
        self._proven = False

    def _next_delay(self) -> float:
        return full_jitter(next(self._rounds).max_delay, self._jitter)
