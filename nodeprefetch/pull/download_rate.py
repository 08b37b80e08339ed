"""Limits what all downloads of the node's containerd bring per second, by pausing and resuming pulls in turn.

Neither CRI nor containerd can slow a download down. So time is divided into periods: each has an allowance of bytes,
and when it is used up, pulls are paused until the next one. Any minute has a whole number of periods.
"""

from collections.abc import Iterable
from typing import Final

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.pull.looking import keep_looking
from nodeprefetch.pull.pauses import Pauses
from nodeprefetch.runtime.api import ContainerdApi, Ingest
from nodeprefetch.values.sizes import format_rate

REASON: Final = "download-rate"
"""In events."""

PARALLEL_PULLS = 2
"""Default number of parallel pulls while the rate is limited: a pause costs each download what is on its way."""

SHORTEST_PERIOD, LONGEST_PERIOD = 10.0, 30.0
"""Seconds. Divisors of a minute."""

LEAST_ALLOWANCE = 32 * 1024 * 1024
"""Bytes to download between two pauses, if a period can be long enough: then what a pause loses does not matter."""

LOOK_INTERVAL = 0.1
"""Seconds between two looks at the downloads; small layers are complete soon after they begin."""


def period_of(rate: float) -> float:
    """Seconds between two pauses: 10, 15, 20 or 30.

    Args:
        rate: bytes per second.
    """
    wanted = min(max(LEAST_ALLOWANCE / rate, SHORTEST_PERIOD), LONGEST_PERIOD)
    return next(period for period in (SHORTEST_PERIOD, 15.0, 20.0, LONGEST_PERIOD) if period >= wanted)


class Meter:
    """Counts the bytes that downloads bring, from one look at the ingests to the next."""

    def __init__(self) -> None:
        self._known: dict[str, Ingest] | None = None

    def read(self, ingests: Iterable[Ingest]) -> int:
        """Return the bytes that came since the last look; 0 at the first. A download that is gone is complete."""
        now = {ingest.ref: ingest for ingest in ingests}
        before, self._known = self._known, now
        if before is None:
            return 0
        grown = sum(one.offset - (before[ref].offset if ref in before else 0) for ref, one in now.items())
        completed = sum(max(0, one.total - one.offset) for ref, one in before.items() if ref not in now)
        return max(0, grown) + completed


class DownloadRate:
    """Pauses all pulls while the allowance of a period is used up.

    Args:
        rate: bytes per second.
        api: shows the downloads.
        pauses: the pulls of the run.
        emit: gets a notice if the limit is given up.
    """

    def __init__(self, rate: int, api: ContainerdApi, pauses: Pauses, emit: Reader) -> None:
        self._api = api
        self._pauses = pauses
        self._emit = emit
        self._detail = f"limit of {format_rate(rate)}"
        self._period = period_of(rate)
        self._allowance = rate * self._period
        self._hold = pauses.hold(REASON)
        self._meter = Meter()
        self._left = self._allowance
        self._ends = -self._period

    async def run(self) -> None:
        """Look at the downloads while there are pulls; until cancelled, or until they are not visible any more."""
        problem = await keep_looking(self._look, self._pauses, interval=LOOK_INTERVAL)
        self._hold.release()
        self._emit(Notice(message=f"the download rate is no longer limited: {problem}"))

    async def _look(self) -> None:
        self._spend(self._meter.read(await self._api.ingests()))

    def _spend(self, amount: int) -> None:
        now = trio.current_time()
        self._left -= amount
        while now >= self._ends:
            # What was left is not saved up; what was too much is taken from the next periods.
            is_long_ago = now - self._ends >= LONGEST_PERIOD
            self._ends = now + self._period if is_long_ago else self._ends + self._period
            self._left = min(self._left, 0) + self._allowance
        is_used_up = self._left <= 0
        self._hold.apply(closed=is_used_up, paused=self._pauses.running if is_used_up else (), detail=self._detail)
