"""The events to send: those that wait (bounded, the least important go first) and the batch under way."""

from collections import OrderedDict, deque
from itertools import islice

from nodeprefetch.events import (
    AttemptFinished,
    CredentialsMatched,
    Event,
    ImageFinished,
    ImagesListed,
    RunFinished,
    RunStarted,
)

MAX_RESULTS = 100_000
"""Results kept (see `is_result`); past that, the oldest attempts go."""

MAX_PROGRESS = 10_000
"""Other events kept. They tell how it goes, and say nothing that the results do not say in the end."""

_NEVER_SENT = (ImagesListed, CredentialsMatched)
"""Told for `--debug`, large, and of no use to anyone but who reads this node's log."""

_RESULTS = (AttemptFinished, ImageFinished, RunStarted, RunFinished)


def is_worth_sending(event: Event) -> bool:
    """Whether an aggregator has any use for it."""
    return not isinstance(event, _NEVER_SENT)


def is_result(event: Event) -> bool:
    """Attempts, outcomes, beginning and end of the run: what must arrive."""
    return isinstance(event, _RESULTS)


class Buffer:
    """Events in order. Adding one takes the same short time at any fill.

    Args:
        max_results: the bound for results.
        max_progress: the bound for everything else.
    """

    def __init__(self, *, max_results: int = MAX_RESULTS, max_progress: int = MAX_PROGRESS) -> None:
        self._max_results = max_results
        self._max_progress = max_progress
        self._events: OrderedDict[int, Event] = OrderedDict()
        self._next = 0
        self._progress: deque[int] = deque()
        self._attempts: deque[int] = deque()
        self._outcomes: deque[int] = deque()
        self._ends = 0
        self.dropped = 0
        """How many results had to go."""

    def __len__(self) -> int:
        return len(self._events)

    @property
    def results(self) -> int:
        """How many results are in it."""
        return len(self._attempts) + len(self._outcomes) + self._ends

    def add(self, event: Event) -> None:
        """One more; the oldest of the least worth goes when there is no room."""
        self._events[self._next] = event
        if not is_result(event):
            self._progress.append(self._next)
        elif isinstance(event, AttemptFinished):
            self._attempts.append(self._next)
        elif isinstance(event, ImageFinished):
            self._outcomes.append(self._next)
        else:
            self._ends += 1
        self._next += 1
        if len(self._progress) > self._max_progress:
            del self._events[self._progress.popleft()]
        if self.results > self._max_results and (self._attempts or self._outcomes):
            del self._events[(self._attempts or self._outcomes).popleft()]
            self.dropped += 1

    def take(self, most: int) -> tuple[Event, ...]:
        """Remove the oldest ones, and give them."""
        taken = tuple(islice(self._events.items(), most))
        for number, event in taken:
            del self._events[number]
            for queue in (self._progress, self._attempts, self._outcomes):
                if queue and queue[0] == number:
                    queue.popleft()
            if isinstance(event, RunStarted | RunFinished):
                self._ends -= 1
        return tuple(event for _, event in taken)


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
