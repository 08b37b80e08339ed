"""Reporters: readers of events that need time. They run in the background, and get some time after the run."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from nodeprefetch.errors import leaves
from nodeprefetch.events import AttemptFinished, AttemptStarted, Event, Progress, where_raised


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


class Reporter(Protocol):
    """Delivers a run's events. One that cannot changes nothing: not a pull, not the exit code, not another reporter."""

    def emit(self, event: Event) -> None:
        """Take an event. Must not wait and must not raise."""
        ...

    async def run(self) -> None:
        """Deliver in the background until cancelled. Must not raise anything of its own."""
        ...

    async def finish(self) -> None:
        """Deliver what is left, after the last event; returns when that is done. The caller limits the time."""
        ...


LAST_WORD = 1.0
"""Seconds of the grace, a third of it at most, in which what speakers said at last is delivered."""


@asynccontextmanager
async def reporting(
    reporters: Sequence[Reporter],
    *,
    grace: float,
    speakers: Sequence[Reporter] = (),
    warn: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Let reporters work while the block runs, and finish when it is left, however it is left.

    Neither the overall timeout nor a signal nor an error of the block cancels that: only its own grace does. One that
    raises harms neither the block nor the others.

    Args:
        reporters: what works.
        grace: seconds for finishing, all together.
        speakers: what works too, and has something to say at its end. They finish first, while the others go on
            delivering, and so early that the others can deliver that too.
        warn: told of a reporter that raised.
    """

    async def isolated(reporter: Reporter, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a reporter, pulls go on
            warn(f"{type(reporter).__name__} failed, the run continues: {where_raised(next(leaves(error)))}")

    async def finish(group: Sequence[Reporter]) -> None:
        async with trio.open_nursery() as ends:
            for reporter in group:
                ends.start_soon(isolated, reporter, reporter.finish)

    async with trio.open_nursery() as background:
        for reporter in (*speakers, *reporters):
            background.start_soon(isolated, reporter, reporter.run)
        try:
            yield
        finally:
            if reporters or speakers:
                end = trio.current_time() + grace
                with trio.CancelScope(shield=True, deadline=end):
                    with trio.move_on_at(end - min(LAST_WORD, grace / 3) if reporters else end):
                        await finish(speakers)
                    await finish(reporters)
            background.cancel_scope.cancel()
