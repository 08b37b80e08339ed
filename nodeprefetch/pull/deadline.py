"""The deadline of an attempt: by time without progress or, where progress is not visible, by elapsed time."""

import math

import trio

from nodeprefetch.events import Phase
from nodeprefetch.pull.progress_source import LOOK_INTERVAL
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.sizes import format_share

STEP = 1024 * 1024
"""Bytes in which an ingest grows, at any rate (measured: docs/adr/0018-containerds-own-api.md)."""

LAYERS_AT_ONCE = 3
"""Layers that containerd fetches at once: per pull before version 2, on the whole node since."""

TOLERATED_RATE = 60 * 1024
"""Bytes per second that an image gets over a line of 64 KiB/s, and that must not count as stalled."""

SHORTEST_STRETCHED = 30.0
"""Seconds. Shorter timeouts than the default are a choice of the user, and are never stretched."""


def stall_timeout(timeout: float, *, active: int) -> float:
    """Seconds without movement after which a download is stalled.

    Between two steps of an ingest no movement is visible. In the worst case all layers that are fetched at once step at
    the same moment, just after a look, and only the next look sees it.

    Args:
        timeout: of the attempt, seconds.
        active: how many blobs of the image are being fetched.
    """
    if timeout < SHORTEST_STRETCHED:
        return timeout
    return max(timeout, min(active, LAYERS_AT_ONCE) * STEP / TOLERATED_RATE + LOOK_INTERVAL)


def slowest_rate(timeout: float, *, active: int = LAYERS_AT_ONCE) -> float:
    """Bytes per second from which on an image never counts as stalled.

    Args:
        timeout: of the attempt, seconds.
        active: how many layers are being fetched.
    """
    visible = stall_timeout(timeout, active=active) - LOOK_INTERVAL
    return active * STEP / visible if visible > 0 else math.inf


class Deadline:
    """Cancels a scope when an attempt's time is over. Starts when created, with elapsed time until `follow_progress`.

    With elapsed time the timeout is the scope's deadline, which goes to the runtime with the call. A deadline that
    moves must not: the runtime would end the call at the first one. So the scope has none then, and `run` cancels it.

    Args:
        timeout: seconds without movement.
        unpack_timeout: seconds without movement while the pull may be waiting for the node alone.
        unseen_timeout: seconds while nothing of the pull is visible; None: the same as `timeout`.
        spent: seconds that count already, after a pause.
    """

    def __init__(
        self, timeout: float, *, unpack_timeout: float, unseen_timeout: float | None = None, spent: float = 0
    ) -> None:
        self._timeout = timeout
        self._unpack_timeout = unpack_timeout
        self._unseen_timeout = timeout if unseen_timeout is None else unseen_timeout
        self._started = self._moved_at = trio.current_time() - spent
        self._has_moved = False
        self._follows = False
        self._is_extended = False
        self._sight = Sight()
        self._timer = trio.CancelScope()
        self._ends = self._started + self._unseen_timeout
        self.scope = trio.CancelScope(deadline=self._ends)

    def follow_progress(self) -> None:
        """From now on time without movement counts. Call it before the scope's block, and start `run`."""
        self._follows = True
        self.scope.deadline = math.inf
        self._timer.deadline = self._ends = self._moved_at + self._allowed

    def postpone(self, seconds: float) -> None:
        """Add time that passed before the call. Call it before the scope's block."""
        self._started += seconds
        self._moved_at += seconds
        self._ends += seconds
        self.scope.deadline = self._ends

    async def run(self) -> None:
        """Cancel the scope when nothing moved for too long. Returns then, or after `stop` or `use_elapsed_time`."""
        with self._timer:
            await trio.sleep_forever()
        if self._follows:
            self.scope.cancel()

    def stop(self) -> None:
        """End `run`: the attempt has ended."""
        self._timer.cancel()

    def saw(self, sight: Sight, *, moved: bool) -> None:
        """Take in how far the pull is, and whether it moved since the last look."""
        self._sight = sight
        if moved:
            self._has_moved = True
            self._moved_at = trio.current_time()
        if self._follows:
            self._timer.deadline = self._ends = self._moved_at + self._allowed

    def extend(self, seconds: float) -> None:
        """Add time in which nobody could see whether the pull moved."""
        if self._follows:
            self._moved_at += seconds
            self._ends += seconds

    def hold(self, seconds: float) -> None:
        """Do not cancel during a look, for at most so many seconds: it may show movement."""
        self._timer.deadline = max(self._ends, trio.current_time() + seconds)

    def release(self) -> None:
        """End `hold`."""
        self._timer.deadline = self._ends

    def use_elapsed_time(self) -> None:
        """Count elapsed time from now on: progress is not visible any more. A timeout already over starts again."""
        if not self._follows:
            return
        self._follows = False
        now = trio.current_time()
        ends = self._started + self._unseen_timeout
        self._is_extended = ends <= now
        self.scope.deadline = now + self._unseen_timeout if self._is_extended else ends
        self._timer.cancel()

    @property
    def spent(self) -> float:
        """Seconds that count for the next call, if this one is paused now; 0 if it moved, where that is visible."""
        if self._follows and self._has_moved:
            return 0.0
        return trio.current_time() - (self._moved_at if self._follows else self._started)

    def error(self) -> RuntimeFaultError:
        """Why the scope was cancelled."""
        if self._follows:
            return RuntimeFaultError(self._stalled(), fault=Fault(kind=FaultClass.PASSING, reason="stalled"))
        text = f"timed out after {format_duration(self._unseen_timeout)}"
        if self._is_extended:
            text = f"timed out {format_duration(self._unseen_timeout)} after progress reporting was lost"
        return RuntimeFaultError(text, fault=Fault(kind=FaultClass.PASSING, reason="timeout"))

    @property
    def _allowed(self) -> float:
        """Seconds without movement."""
        if self._sight.is_unseen:
            return max(self._timeout, self._unseen_timeout)
        if self._sight.may_fetch:
            return stall_timeout(self._timeout, active=self._sight.active)
        return max(self._timeout, self._unpack_timeout)

    def _stalled(self) -> str:
        sight, time = self._sight, format_duration(round(self._allowed, 1))
        if sight.phase is Phase.UNPACKING:
            return f"unpacking stalled for {time}"
        if sight.total or sight.done:
            return f"stalled at {format_share(sight.done, sight.total)} for {time}"
        if sight.phase is Phase.DOWNLOADING:  # bytes are seen, and not which of them are its own
            return f"stalled for {time}"
        return f"no response while resolving for {time}"
