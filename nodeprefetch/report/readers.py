"""Runs reporters: readers of events that need time. They work in the background, and finish after the run."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from nodeprefetch.emitter import where_raised
from nodeprefetch.errors import leaves
from nodeprefetch.events import AttemptFinished, AttemptStarted, Event, Progress


class Reporter(Protocol):
    """Delivers the events of a run. A failure affects neither pulls, nor the exit code, nor other reporters."""

    def emit(self, event: Event) -> None:
        """Take an event. Must not wait and must not raise."""
        ...

    async def run(self) -> None:
        """Deliver in the background until cancelled. Must not raise anything of its own."""
        ...

    async def finish(self) -> None:
        """Deliver the rest, after the last event. The caller limits the time."""
        ...


class Deliverer(Reporter, Protocol):
    """A reporter that sends the events themselves to somebody."""

    async def flush(self) -> None:
        """Wait until all events taken so far have arrived. The caller limits the time."""
        ...


HEAD_START = 1.0
"""Seconds, at most a tenth of the grace, that each step after the run has for itself before the next one begins."""

LAST_WORD = 1.0
"""Seconds of the grace, at most a third of it, for delivering the last events of speakers."""


class Reporting:
    """How far reporters have come."""

    def __init__(self, reporters: Sequence[Deliverer]) -> None:
        self.undelivered = set(reporters)
        """Those that have not delivered everything. After the block: those that ran out of time."""


@asynccontextmanager
async def reporting(
    reporters: Sequence[Deliverer],
    *,
    grace: float,
    speakers: Sequence[Reporter] = (),
    warn: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Reporting]:
    """Run reporters during the block, and let them finish after it, however it ends.

    Only the grace limits the time for finishing: neither the overall timeout, nor a signal, nor an error of the block
    cancels it. A reporter that raises affects neither the block nor the others.

    The order after the block: the events of the run are delivered, then the speakers finish one after another. Each of
    these steps has a head start; whoever takes longer goes on beside the next ones. In the end the reporters finish.

    Args:
        reporters: deliver events.
        grace: seconds for finishing, for all together.
        speakers: also emit events when they finish, which the reporters deliver as well. In the order in which they
            finish.
        warn: called if a reporter raised.
    """
    progress = Reporting(reporters)

    async def isolated(reporter: Reporter, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a reporter, pulls continue
            warn(f"{type(reporter).__name__} failed, the run continues: {where_raised(next(leaves(error)))}")

    async def speak() -> None:
        """Finish in turn, first of all what is being delivered. Nobody waits for others longer than a head start."""
        steps = [(each, each.flush) for each in reporters] + [(each, each.finish) for each in speakers]
        async with trio.open_nursery() as ends:
            for reporter, work in steps:
                is_done = trio.Event()
                ends.start_soon(step, reporter, work, is_done)
                with trio.move_on_after(min(HEAD_START, grace / 10)):
                    await is_done.wait()

    async def step(reporter: Reporter, work: Callable[[], Awaitable[None]], is_done: trio.Event) -> None:
        await isolated(reporter, work)
        is_done.set()

    async def finish(reporter: Deliverer) -> None:
        await isolated(reporter, reporter.finish)
        progress.undelivered.discard(reporter)

    async def finish_all() -> None:
        async with trio.open_nursery() as ends:
            for reporter in reporters:
                ends.start_soon(finish, reporter)

    async with trio.open_nursery() as background:
        for reporter in (*speakers, *reporters):
            background.start_soon(isolated, reporter, reporter.run)
        try:
            yield progress
        finally:
            if reporters or speakers:
                end = trio.current_time() + grace
                with trio.CancelScope(shield=True, deadline=end):
                    if speakers:
                        with trio.move_on_at(end - min(LAST_WORD, grace / 3) if reporters else end):
                            await speak()
                    await finish_all()
            background.cancel_scope.cancel()


class ProgressPace:
    """Limits `Progress` events to one per attempt and interval; all other events pass.

    Args:
        interval: seconds, also from the start of the attempt to the first one; 0: no progress at all.
        clock: seconds, monotonic.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._due: dict[str, float] = {}

    def passes(self, event: Event) -> bool:
        """Whether to pass on the event."""
        match event:
            case AttemptStarted():
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
