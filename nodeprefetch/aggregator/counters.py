"""What the aggregator counts of itself, and the bytes it has in hand."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.shares import Shares


class Counters:
    """Counters since the start of the process, for the exposition."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        """Events stored, by protocol: `http`, `grpc`."""

        self.duplicates: Counter[str] = Counter()
        """Events that were known, by protocol."""

        self.requests: Counter[str] = Counter()
        """Submissions answered with success, by protocol."""

        self.refused: Counter[str] = Counter()
        """Requests and connections refused, by reason."""

        self.broken_connections = 0
        """Connections ended because what came over them was no protocol we know."""

        self.connections = 0
        """Open now."""

        self.closed_connections = 0
        """Idle ones that were closed to make room."""

        self.stuck_answers = 0
        """Answers ended because their clients did not take them in their time."""


class Budget:
    """Bytes that all requests and answers together may hold, shared by remote addresses.

    Args:
        limit: bytes.
        retry_after: seconds a client is asked to wait when they are used up.
    """

    def __init__(self, limit: int, retry_after: int) -> None:
        self._shares = Shares(limit)
        self._retry_after = retry_after

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._shares.used

    @contextmanager
    def reservation(self, address: str = "") -> Iterator["Reservation"]:
        """What one request from that address holds; given back at the end."""
        reservation = Reservation(self, address)
        try:
            yield reservation
        finally:
            reservation.give_back()

    def take(self, size: int, address: str = "") -> None:
        """Count so many bytes, for an address or for nobody.

        Raises:
            RefusedError: they would be too many.
        """
        if not self._shares.take(address, size):
            raise RefusedError(
                429, "busy", "the aggregator has too much in hand at this moment", retry_after=self._retry_after
            )

    def give_back(self, size: int, address: str = "") -> None:
        """Count them no more."""
        self._shares.give_back(address, size)


class Reservation:
    """The bytes that one request holds."""

    def __init__(self, budget: Budget, address: str) -> None:
        self._budget = budget
        self._address = address
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many more.

        Raises:
            RefusedError: all requests together, or those of its address, would hold too many.
        """
        self._budget.take(size, self._address)
        self.held += size

    def give_back(self, size: int | None = None) -> None:
        """Hold so many less; None: nothing more."""
        size = self.held if size is None else size
        self._budget.give_back(size, self._address)
        self.held -= size
