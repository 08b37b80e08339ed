"""A limited rate, on virtual time: a look each tenth of a second, downloads in steps of 1 MiB."""

import math

import pytest
import trio

from nodeprefetch.errors import UsageError, leaves
from nodeprefetch.events import AttemptStarted, Event, PullsPaused, RunEnd, RunFinished
from nodeprefetch.pull.download_rate import DownloadRate, Meter, period_of
from nodeprefetch.pull.pauses import PausablePull, Pauses
from nodeprefetch.runtime.api import Ingest
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing import FakeContainerdApi, FakeImageService, FakeRun

MIB = 2**20


class Line:
    """Brings one endless layer at this rate, in steps of 1 MiB, while its pull is not paused."""

    def __init__(self, rate: float) -> None:
        self.api = FakeContainerdApi()
        self.events: list[Event] = []
        self.pauses = Pauses(self.events.append)
        self.came: list[float] = []
        """When each MiB came."""

        self._rate = rate
        self.api.begin("layer", total=2**60)

    async def run(self, limit: int, *, until: float) -> None:
        with trio.move_on_after(until):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(DownloadRate(limit, self.api, self.pauses, self.events.append).run)
                nursery.start_soon(self.pauses.run, PausablePull("a:1", "lease"), self._download)

    async def _download(self) -> None:
        while True:
            await trio.sleep(MIB / self._rate)
            self.came.append(trio.current_time())
            self.api.write("layer", len(self.came) * MIB)

    def brought(self, begin: float, end: float) -> int:
        return MIB * sum(begin <= time < end for time in self.came)


@pytest.mark.parametrize("limit", [MIB, 5 * MIB, 50 * MIB])
@pytest.mark.parametrize("faster", [1.5, 4, 20])
async def test_any_minute_brings_what_it_may_within_ten_percent(autojump_clock, limit, faster):
    line = Line(limit * faster)

    await line.run(limit, until=241)

    for begin in (0, 7, 60, 92.5, 180):
        assert 0.9 * 60 * limit <= line.brought(begin, begin + 60) <= 1.1 * 60 * limit


async def test_a_line_that_is_slower_is_never_paused(autojump_clock):
    line = Line(4 * MIB)

    await line.run(5 * MIB, until=120)

    assert [] == [event for event in line.events if isinstance(event, PullsPaused)]


async def test_pauses_are_far_apart(autojump_clock):
    """One in each period, and none is shorter than ten seconds."""
    line = Line(100 * MIB)

    await line.run(5 * MIB, until=99)

    paused = [event for event in line.events if isinstance(event, PullsPaused)]
    assert 10 == len(paused)
    assert {("download-rate", ("a:1",), "limit of 5.0 MiB/s")} == {
        (event.reason, event.images, event.detail) for event in paused
    }


@pytest.mark.parametrize(
    ("rate", "seconds"), [(100 * MIB, 10), (3.2 * MIB, 10), (3 * MIB, 15), (2 * MIB, 20), (MIB, 30), (1, 30)]
)
def test_a_slow_rate_has_long_periods(rate, seconds):
    assert seconds == period_of(rate)


def ingest(ref: str, offset: int, total: int = 100) -> Ingest:
    return Ingest(ref=ref, offset=offset, total=total)


@pytest.mark.parametrize(
    ("before", "now", "amount"),
    [
        ([], [], 0),
        ([ingest("a", 10)], [ingest("a", 10)], 0),
        ([ingest("a", 10)], [ingest("a", 30)], 20),
        ([], [ingest("a", 30)], 30),
        ([ingest("a", 10)], [], 90),
        ([ingest("a", 10, total=0)], [], 0),
        ([ingest("a", 50)], [ingest("a", 0)], 0),
        ([ingest("a", 10), ingest("b", 5)], [ingest("b", 7)], 92),
    ],
)
def test_what_came_is_read_from_two_looks(before, now, amount):
    meter = Meter()

    assert 0 == meter.read(before)
    assert amount == meter.read(now)


async def test_where_downloads_cannot_be_seen_any_more_the_limit_ends_with_a_warning(autojump_clock):
    line = Line(100 * MIB)
    line.api.gone = RuntimeFaultError.from_status("PERMISSION_DENIED", "no")

    await line.run(MIB, until=9)

    (notice,) = line.events
    assert "the download rate is no longer limited" in notice.message
    assert math.isclose(100 * 9 * MIB, line.brought(0, 10), rel_tol=0.01)


@pytest.mark.parametrize(
    ("settings", "api", "why"),
    [
        (FetchSettings(max_download_rate=MIB), None, "fake shows no downloads and keeps nothing of a paused pull"),
        (
            FetchSettings(max_download_rate=MIB, resume=False),
            FakeContainerdApi(),
            "--no-resume keeps nothing of a paused pull",
        ),
    ],
)
async def test_where_nothing_is_kept_the_run_is_refused(autojump_clock, settings, api, why):
    run = FakeRun(service=FakeImageService(), settings=settings, containerd=api)

    with pytest.RaisesGroup(UsageError, flatten_subgroups=True) as caught:
        await run.fetch("a:1")

    (error,) = leaves(caught.value)
    assert f"--max-download-rate: cannot limit the rate: {why}" == str(error)
    assert [] == run.told(AttemptStarted)
    assert str(error) == run.result("a:1").error
    assert [(RunEnd.NO_RUNTIME, 1)] == [(end.end, end.failed) for end in run.told(RunFinished)]
