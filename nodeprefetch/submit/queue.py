"""The events to send: the batch under way, a bounded buffer that drops the least important first, and progress."""

from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from math import inf

from nodeprefetch.events import (
    AttemptFinished,
    CredentialsMatched,
    Event,
    ImageFinished,
    ImagesListed,
    Progress,
    RunFinished,
    RunStarted,
    TagMoved,
)

MAX_RESULTS = 100_000
"""Results to keep (see `is_result`); beyond that, the oldest attempts are dropped."""

MAX_OTHER_EVENTS = 10_000
"""Other events to keep. The results contain everything that matters in the end."""

MAX_BATCH_EVENTS = 500
"""Events per request: some 100 kB of msgpack, which an aggregator processes at its best speed."""

_NEVER_SENT = (ImagesListed, CredentialsMatched)
"""For `--debug`: large, and only useful in the log of the node."""

_RESULTS = (AttemptFinished, ImageFinished, TagMoved, RunStarted, RunFinished)


def is_worth_sending(event: Event) -> bool:
    """Whether an aggregator has any use for the event."""
    return not isinstance(event, _NEVER_SENT)


def is_result(event: Event) -> bool:
    """Whether the event must arrive: attempts, outcomes, moved tags, start and end of the run."""
    return isinstance(event, _RESULTS)


class Outbox:
    """Takes events out of a buffer batch by batch; each batch stays the next one until it is acknowledged or dropped.

    Args:
        buffer: where events wait.
        progress: goes with every batch, and alone when it is due.
        most: events of a batch.
    """

    def __init__(self, buffer: "Buffer", progress: "PendingProgress", *, most: int = MAX_BATCH_EVENTS) -> None:
        self._buffer = buffer
        self._progress = progress
        self._most = most
        self._size = most
        self._growing = False
        self._taken: tuple[Event, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._taken) or len(self._buffer) > 0 or self._progress.is_due

    @property
    def is_under_way(self) -> bool:
        """Whether there is a batch that has been taken and is not acknowledged."""
        return bool(self._taken)

    @property
    def results(self) -> int:
        """Number of results that are not acknowledged."""
        return self._buffer.results + sum(map(is_result, self._taken))

    def next_events(self) -> tuple[Event, ...]:
        """The events to send now; the same ones again until `acknowledged` or `split`."""
        if not self._taken:
            self._taken = self._buffer.take(self._size)
            if len(self._taken) < self._size:  # so all that happened before has been taken too
                self._taken += self._progress.take()
        return self._taken[: self._size]

    def acknowledged(self) -> None:
        """Remove the batch: it has arrived."""
        self._taken = self._taken[self._size :]
        if self._growing:
            self._size = min(2 * self._size, self._most)

    def split(self) -> Event | None:
        """Make batches smaller: this one is too large for a proxy, or one of its events cannot be encoded.

        Returns:
            An event that cannot even be sent alone, and is dropped. Only after that do batches grow again, as it was
            that event's fault.
        """
        size = min(self._size, len(self._taken))
        if size > 1:
            self._size = size // 2
            self._growing = False
            return None
        dropped, self._taken = self._taken[0], self._taken[1:]
        self._growing = True
        return dropped


class Buffer:
    """Events in order. Adding one takes the same short time however full the buffer is.

    Args:
        max_results: how many results to keep.
        max_other: how many other events to keep.
    """

    def __init__(self, *, max_results: int = MAX_RESULTS, max_other: int = MAX_OTHER_EVENTS) -> None:
        self._max_results = max_results
        self._max_other = max_other
        self._events: OrderedDict[int, Event] = OrderedDict()
        self._next = 0
        self._others: deque[int] = deque()
        self._attempts: deque[int] = deque()
        self._outcomes: deque[int] = deque()
        self._ends = 0
        self.dropped = 0
        """Number of results dropped."""

    def __len__(self) -> int:
        return len(self._events)

    @property
    def results(self) -> int:
        """Number of results in the buffer."""
        return len(self._attempts) + len(self._outcomes) + self._ends

    def add(self, event: Event) -> None:
        """Add an event. If the buffer is full, drop the oldest of the least important ones."""
        self._events[self._next] = event
        if not is_result(event):
            self._others.append(self._next)
        elif isinstance(event, AttemptFinished):
            self._attempts.append(self._next)
        elif isinstance(event, ImageFinished | TagMoved):
            self._outcomes.append(self._next)
        else:
            self._ends += 1
        self._next += 1
        if len(self._others) > self._max_other:
            del self._events[self._others.popleft()]
        if self.results > self._max_results and (self._attempts or self._outcomes):
            del self._events[(self._attempts or self._outcomes).popleft()]
            self.dropped += 1

    def take(self, most: int) -> tuple[Event, ...]:
        """Remove and return the oldest events."""
        taken = tuple(islice(self._events.items(), most))
        for number, event in taken:
            del self._events[number]
            for queue in (self._others, self._attempts, self._outcomes):
                if queue and queue[0] == number:
                    queue.popleft()
            if isinstance(event, RunStarted | RunFinished):
                self._ends -= 1
        return tuple(event for _, event in taken)


class PendingProgress:
    """The latest progress of each running attempt. All of it is sent together: once an interval, or with other events.

    Args:
        interval: seconds.
        clock: seconds, monotonic.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self.interval = interval
        self._clock = clock
        self._latest: dict[str, Progress] = {}
        self._taken_at = -inf

    def note(self, event: Event) -> None:
        """Take the progress or the end of an attempt, or the end of the run; other events change nothing."""
        match event:
            case Progress():
                self._latest[event.attempt_id] = event
            case AttemptFinished():
                self._latest.pop(event.attempt_id, None)
            case RunFinished():
                self._latest.clear()
            case _:
                pass

    @property
    def due_at(self) -> float:
        """When it is to be sent at the latest; infinite if there is none."""
        return self._taken_at + self.interval if self._latest else inf

    @property
    def is_due(self) -> bool:
        """Whether it is to be sent now."""
        return self._clock() >= self.due_at

    def take(self) -> tuple[Progress, ...]:
        """Remove and return all of it."""
        if not self._latest:
            return ()
        taken, self._latest = tuple(self._latest.values()), {}
        self._taken_at = self._clock()
        return taken
