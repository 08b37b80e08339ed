"""What is to be sent next: the events of one request, until they are acknowledged."""

from nodeprefetch.events import Event
from nodeprefetch.submit.queue import Buffer, is_result

MAX_PORTION = 500
"""Events of one request: some 100 kB of msgpack, which an aggregator takes in at its best speed."""


class Outbox:
    """Portions of a buffer, one at a time; each stays the next one until it is acknowledged or dropped.

    Args:
        buffer: what to take from.
        most: events of a portion.
    """

    def __init__(self, buffer: Buffer, *, most: int = MAX_PORTION) -> None:
        self._buffer = buffer
        self._most = most
        self._size = most
        self._growing = False
        self._taken: tuple[Event, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._taken) or len(self._buffer) > 0

    @property
    def results(self) -> int:
        """How many results are not acknowledged."""
        return self._buffer.results + sum(map(is_result, self._taken))

    def portion(self) -> tuple[Event, ...]:
        """The events to send now; the same ones again until `acknowledged` or `halve`."""
        if not self._taken:
            self._taken = self._buffer.take(self._size)
        return self._taken[: self._size]

    def acknowledged(self) -> None:
        """The portion has arrived."""
        self._taken = self._taken[self._size :]
        if self._growing:
            self._size = min(2 * self._size, self._most)

    def halve(self) -> Event | None:
        """The portion is too large: make it smaller. What is too large alone is dropped, and given.

        A size that was too large is not tried again, except after such a drop: then it was that event's fault.
        """
        size = min(self._size, len(self._taken))
        if size > 1:
            self._size = size // 2
            self._growing = False
            return None
        dropped, self._taken = self._taken[0], self._taken[1:]
        self._growing = True
        return dropped
