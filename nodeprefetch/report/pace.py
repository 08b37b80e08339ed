"""Lets through as much of the progress of pulls as a reader can use."""

from collections.abc import Callable

from nodeprefetch.events import AttemptFinished, AttemptStarted, Event, Progress


class ProgressPace:
    """At most one `Progress` an attempt in so many seconds; all other events pass.

    Args:
        interval: seconds; 0: no progress at all.
        clock: seconds, monotonic.
        at_once: the first one passes too, not only what comes an interval after the attempt's start.
    """

    def __init__(self, interval: float, clock: Callable[[], float], *, at_once: bool) -> None:
        self._interval = interval
        self._clock = clock
        self._at_once = at_once
        self._due: dict[str, float] = {}

    def passes(self, event: Event) -> bool:
        """Whether this one is for the reader."""
        match event:
            case AttemptStarted() if not self._at_once:
                self._due[event.attempt_id] = self._clock() + self._interval
            case AttemptFinished():
                self._due.pop(event.attempt_id, None)
            case Progress():
                now = self._clock()
                if not self._interval or now < self._due.get(event.attempt_id, now):
                    return False
                self._due[event.attempt_id] = now + self._interval
            case _:
                pass
        return True
