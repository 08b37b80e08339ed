"""What the aggregator counts of itself, and the bytes it has in hand."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from nodeprefetch.aggregator.refusal import RefusedError


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

        self.readers = 0
        """Of the live stream, now."""


class Budget:
    """Bytes that all requests together may hold.

    Args:
        limit: bytes.
        retry_after: seconds a client is asked to wait when they are used up.
    """

    def __init__(self, limit: int, retry_after: int) -> None:
        self._limit = limit
        self._retry_after = retry_after
        self.used = 0

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """What one request holds; given back at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.give_back()

    def take(self, size: int) -> None:
        """Count so many bytes.

        Raises:
            RefusedError: they would be too many.
        """
        if self.used + size > self._limit:
            raise RefusedError(
                429, "busy", "the aggregator has too much in hand at this moment", retry_after=self._retry_after
            )
        self.used += size

    def give_back(self, size: int) -> None:
        """Count them no more."""
        self.used -= size


class Reservation:
    """The bytes that one request holds."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many more.

        Raises:
            RefusedError: all requests together would hold too many.
        """
        self._budget.take(size)
        self.held += size

    def give_back(self) -> None:
        """Hold nothing more."""
        self._budget.give_back(self.held)
        self.held = 0
