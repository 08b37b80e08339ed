"""Watches the pulls of a run: reports their progress, and moves the deadlines of attempts.

What is seen comes from a source: containerd's own API (`lease_progress`), or CRI-O's download directories
(`directory_progress`).
"""

import math
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice, Progress
from nodeprefetch.pull.deadline import SHORTEST_STRETCHED, Deadline, slowest_rate
from nodeprefetch.pull.disk import DiskGuard
from nodeprefetch.pull.progress_source import LOOK_INTERVAL, LOOK_TIMEOUT, ProgressSource, Seen
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, RuntimeTimeoutError, answered_within
from nodeprefetch.settings import AttemptClockKind, FetchSettings
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.sizes import format_rate, format_size

_FAILURES = 5
"""Looks that may fail in a row because the source is unavailable or slow, before progress is given up."""

_SAMPLES = 11
"""Looks over which a rate is averaged: ten seconds, as bytes arrive in steps."""

_SAMPLE_INTERVAL = LOOK_INTERVAL / 2
"""Seconds. Looks that come earlier are no sample."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Watched:
    """One attempt in progress."""

    image: str
    attempt_id: str
    deadline: Deadline
    done: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    """Times and bytes, which never decrease."""

    reported: tuple[object, ...] = ()
    _was_counted: bool = False

    def rate(self, seen: Seen) -> int:
        """Bytes per second. Bytes from before all layers were known, or of another image, do not count."""
        now, self.done = trio.current_time(), seen.sight.done
        if not self._was_counted or self.done < self.samples[-1][1]:
            self.samples.clear()
        self._was_counted = seen.is_counted
        if not self.samples or now - self.samples[-1][0] >= _SAMPLE_INTERVAL:
            self.samples.append((now, self.done))
        began, first = self.samples[0]
        last, bytes_then = self.samples[-1]
        return round((bytes_then - first) / (last - began)) if last > began else 0


class ProgressWatch:
    """Looks once a second at all pulls in progress, and only while there are any.

    An error never harms a pull: it is reported once, and attempts are limited by elapsed time from then on.

    Args:
        source: where to look; None: progress is not visible.
        emit: gets `Progress` events.
        settings: of the run.
        disk: asked whether there is room for a pull, whenever more is known of it.
    """

    def __init__(
        self,
        source: ProgressSource | None,
        emit: Reader,
        *,
        settings: FetchSettings = FetchSettings(),  # noqa: B008 - frozen
        disk: DiskGuard | None = None,
    ) -> None:
        self._source = source
        self._emit = emit
        self._kind = settings.attempt_clock
        self._timeout = settings.retry.first_timeout
        self._disk = disk or DiskGuard()
        self._watched: list[_Watched] = []
        self._begun = trio.Event()
        self._deadlines: trio.Nursery | None = None
        self._failures = 0
        self._has_given_up = False
        self._is_warned = self._is_hinted = False

    @asynccontextmanager
    async def watching(self, image: str, attempt_id: str, lease: str, deadline: Deadline) -> AsyncIterator[None]:
        """Watch an attempt while the block runs.

        Args:
            image: as the user wrote it.
            attempt_id: of this attempt.
            lease: of its pull; empty: none.
            deadline: of the attempt. The time until the block runs does not count for it.
        """
        source = await self._begin(image, attempt_id, lease, deadline)
        if source is None:
            yield
            return
        watched = _Watched(image=image, attempt_id=attempt_id, deadline=deadline)
        try:
            self._follow(watched)
            yield
        finally:
            if watched in self._watched:
                self._watched.remove(watched)
            complete = source.end(attempt_id)
            deadline.stop()
        if deadline.scope.cancelled_caught:
            return
        if source.sight(image).done < complete.total:  # also where only an earlier attempt was looked at
            self._report_progress(watched, complete, rate=0)

    async def _begin(self, image: str, attempt_id: str, lease: str, deadline: Deadline) -> ProgressSource | None:
        """Return the source that shows the attempt; None: none does."""
        source, began = self._seeing, trio.current_time()
        if source is None or self._deadlines is None or not source.shows(lease):
            self._warn("pulls without a lease" if source else "pulls of this runtime")
            return None
        try:
            await source.begin(attempt_id, image, lease)
        except RuntimeFaultError as error:
            self._fail(error)
            return None
        deadline.postpone(trio.current_time() - began)
        return source

    def _follow(self, watched: _Watched) -> None:
        self._hint_slowest()
        if self._kind is not AttemptClockKind.WALL and self._deadlines is not None:
            watched.deadline.follow_progress()
            self._deadlines.start_soon(watched.deadline.run)
        self._watched.append(watched)
        self._begun.set()

    def sight(self, image: str) -> Sight:
        """How far an image's pull is, as last seen."""
        return self._source.sight(image) if self._source else Sight()

    @property
    def _seeing(self) -> ProgressSource | None:
        """The source, until progress is given up."""
        return None if self._has_given_up else self._source

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at pulls until cancelled, or until progress is given up.

        Attempts that begin before it has started are not watched.
        """
        async with trio.open_nursery() as self._deadlines:
            task_status.started()
            while source := self._seeing:
                if not self._watched:
                    self._begun = trio.Event()
                    await self._begun.wait()
                began = trio.current_time()
                await self._look_once(source)
                await self._rest(source, began)

    async def _rest(self, source: ProgressSource, began: float) -> None:
        """Wait for the time of the next look, which may come nearer when a pull begins."""
        while trio.current_time() < (until := began + source.interval):
            self._begun = trio.Event()
            with trio.move_on_at(until):
                await self._begun.wait()
        await trio.lowlevel.checkpoint()

    async def _look_once(self, source: ProgressSource) -> None:
        held = [watched.deadline for watched in self._watched]
        for deadline in held:
            deadline.hold(LOOK_TIMEOUT + LOOK_INTERVAL)  # in any case until the look has ended
        try:
            with answered_within(LOOK_TIMEOUT):
                seen = await source.look()
            self._take(seen)
            self._failures = 0
        except RuntimeFaultError as error:
            if isinstance(error, RuntimeTimeoutError):
                for deadline in held:
                    deadline.extend(LOOK_TIMEOUT)
            self._fail(error)
        finally:
            for deadline in held:
                deadline.release()

    def _fail(self, error: RuntimeFaultError) -> None:
        """Take in that a look failed. Some errors may pass."""
        self._failures += 1
        if isinstance(error, RuntimeTimeoutError):
            if self._failures >= _FAILURES:
                self._give_up(f"{error}, {_FAILURES} times in a row")
        elif error.fault.kind is not FaultClass.RUNTIME_GONE or self._failures >= _FAILURES:
            self._give_up(str(error))

    def _take(self, all_seen: Mapping[str, Seen]) -> None:
        for watched in tuple(self._watched):
            seen = all_seen.get(watched.attempt_id)
            if seen is None:
                continue
            if seen.is_lost:
                watched.deadline.use_elapsed_time()
            watched.deadline.saw(seen.sight, moved=seen.moved)
            self._report_progress(watched, seen.sight, rate=watched.rate(seen))

    def _report_progress(self, watched: _Watched, sight: Sight, *, rate: int) -> None:
        now = (sight.phase, sight.done, sight.total, rate)
        if now == watched.reported:
            return
        watched.reported = now
        self._emit(
            Progress(
                attempt_id=watched.attempt_id,
                image=watched.image,
                phase=sight.phase,
                done_bytes=sight.done,
                total_bytes=sight.total,
                rate=rate,
            )
        )
        self._disk.saw(watched.image, sight)

    def _give_up(self, error: str) -> None:
        if self._has_given_up:
            return
        self._has_given_up = True
        for watched in self._watched:
            watched.deadline.use_elapsed_time()
        text = f"progress reporting lost, attempt timeouts now use elapsed time: {error}"
        self._emit(Notice(message=text))

    def _hint_slowest(self) -> None:
        step = self._source.step if self._source else 0
        if not step or self._timeout >= SHORTEST_STRETCHED or self._kind is AttemptClockKind.WALL or self._is_hinted:
            return
        self._is_hinted = True
        slowest = slowest_rate(self._timeout)
        which = f"slower than {format_rate(slowest)}" if math.isfinite(slowest) else "of any rate"
        text = (
            f"with an initial attempt timeout of {format_duration(self._timeout)}, pulls {which} may be mistaken for "
            f"stalled (progress resolution is {format_size(step)})"
        )
        self._emit(Notice(message=text, is_warning=False))

    def _warn(self, which: str) -> None:
        if self._kind is AttemptClockKind.PROGRESS and not self._is_warned:
            self._is_warned = True
            text = f"no progress reporting for {which}, attempt timeouts use elapsed time"
            self._emit(Notice(message=text))
