"""The aggregator's own counters, and the budget of bytes that requests and responses share."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from nodeprefetch.aggregator.fair_share import FairShare
from nodeprefetch.aggregator.refusal import RefusedError


class Counters:
    """Counters since the start of the process, exposed as metrics."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        """Events stored, by protocol: `http`, `grpc`."""

        self.duplicates: Counter[str] = Counter()
        """Events that were stored before, by protocol."""

        self.requests: Counter[str] = Counter()
        """Successful submissions, by protocol."""

        self.refused: Counter[str] = Counter()
        """Refused requests and connections, by reason."""

        self.broken_connections = 0
        """Connections closed after a protocol error."""

        self.connections = 0
        """Open connections."""

        self.closed_connections = 0
        """Idle connections closed to make room for new ones."""

        self.stuck_answers = 0
        """Responses aborted because the client did not read them in time."""


class Budget:
    """Bytes that all requests and responses may hold together, divided among remote addresses by `FairShare`.

    Args:
        limit: bytes.
        retry_after: seconds a client should wait when the budget is used up.
    """

    def __init__(self, limit: int, retry_after: int) -> None:
        self._shares = FairShare(limit)
        self._retry_after = retry_after

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._shares.used

    @contextmanager
    def reservation(self, address: str = "") -> Iterator["Reservation"]:
        """Open a reservation for one request from an address; releases everything at the end."""
        reservation = Reservation(self, address)
        try:
            yield reservation
        finally:
            reservation.release()

    def take(self, size: int, address: str = "") -> None:
        """Take bytes for an address, or for nobody.

        Raises:
            RefusedError: the budget, or the address's share of it, is used up.
        """
        if not self._shares.take(address, size):
            raise RefusedError(429, "busy", "the aggregator is overloaded, retry later", retry_after=self._retry_after)

    def release(self, size: int, address: str = "") -> None:
        """Return bytes."""
        self._shares.release(address, size)


class Reservation:
    """The bytes that one request holds."""

    def __init__(self, budget: Budget, address: str) -> None:
        self._budget = budget
        self._address = address
        self.held = 0

    def take(self, size: int) -> None:
        """Take more bytes.

        Raises:
            RefusedError: the budget, or the address's share of it, is used up.
        """
        self._budget.take(size, self._address)
        self.held += size

    def release(self, size: int | None = None) -> None:
        """Return bytes; None: all of them."""
        size = self.held if size is None else size
        self._budget.release(size, self._address)
        self.held -= size
