"""Holds pulls back while the node's disks are busy, by the kernel's pressure stall information (PSI)."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.pull.pauses import PausablePull, Pauses

REASON: Final = "io-pressure"
"""In events."""

PRESSURE = Path("/proc/pressure/io")
"""Of the whole node, also inside a container."""

LOOK_INTERVAL = 2.0
"""Seconds between two looks, while there are pulls. The kernel updates its averages as often."""

SETTLE_TIME = 10.0
"""Seconds until an average over ten seconds shows what a step has changed. No further step of its kind before."""

PAUSE_FACTOR = 2
"""How many times the limit the pressure must be for pulls in progress to be paused."""

_SOME = re.compile(r"^some avg10=([0-9]+(?:\.[0-9]+)?) ", re.MULTILINE | re.ASCII)


def read_pressure(path: Path = PRESSURE) -> float:
    """Return the share of the last ten seconds, in percent, in which some task waited for a disk.

    Raises:
        OSError: the kernel has no PSI (built without, or `psi=0`).
    """
    found = _SOME.search(path.read_text())
    if found is None:
        raise OSError(f"{path}: no average of ten seconds")
    return float(found[1])


class IoPressure:
    """Lets no pull start above a limit, and pauses pulls one after the other at twice that.

    Args:
        limit: percent.
        pauses: the pulls of the run.
        emit: gets a notice if the pressure cannot be read.
        read: returns the pressure in percent; raises OSError.
    """

    def __init__(
        self, limit: float, pauses: Pauses, emit: Reader, *, read: Callable[[], float] = read_pressure
    ) -> None:
        self._limit = limit
        self._pauses = pauses
        self._emit = emit
        self._read = read
        self._hold = pauses.hold(REASON)
        self._paused: list[PausablePull] = []
        self._paused_at = self._changed_at = -math.inf

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at the pressure, first at once, then while there are pulls; until it cannot be read."""
        while True:
            try:
                self._decide(self._read())
            except OSError as error:
                self._hold.release()
                self._emit(Notice(message=f"--max-io-pressure disabled: the kernel reports no disk pressure: {error}"))
                break
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await trio.sleep(LOOK_INTERVAL)
            await self._pauses.wait_for_pulls()
        task_status.started()

    def _decide(self, pressure: float) -> None:
        now, was = trio.current_time(), (self._hold.is_closed, len(self._hold.paused))
        is_settled = now - self._changed_at >= SETTLE_TIME
        self._paused = [pull for pull in self._paused if pull in self._hold.paused]
        if pressure > PAUSE_FACTOR * self._limit and now - self._paused_at >= SETTLE_TIME:
            self._paused += self._largest()
            self._paused_at = now
        elif pressure <= self._limit and is_settled:
            self._paused = self._paused[:-1]
        closed = pressure > self._limit or bool(self._paused) or (self._hold.is_closed and not is_settled)
        text = f"disk pressure {pressure:g}%, limit {self._limit:g}%"
        self._hold.apply(closed=closed, paused=self._paused, detail=text)
        if was != (self._hold.is_closed, len(self._hold.paused)):
            self._changed_at = now

    def _largest(self) -> list[PausablePull]:
        """The pull with most bytes to come, if there is one to pause."""

        def missing(pull: PausablePull) -> int:
            sight = self._pauses.sight(pull.image)
            return sight.total - sight.done

        going = [pull for pull in self._pauses.running if pull not in self._paused and self._pauses.can_pause(pull)]
        return [max(going, key=missing)] if going else []
