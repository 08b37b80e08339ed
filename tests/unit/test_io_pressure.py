"""Pulls held back for busy disks, on virtual time: looks are at 0 s, 2 s, 4 s …; a limit of 20 %."""

from collections.abc import Mapping, Sequence

import pytest
import trio

from nodeprefetch.events import Event, Notice, PullsPaused, PullsResumed
from nodeprefetch.pull.io_pressure import IoPressure, read_pressure
from nodeprefetch.pull.pauses import PausablePull, Pauses
from nodeprefetch.pull.tracker import Sight

SIZES = {"small": 10, "large": 30, "middle": 20}


class Busy:
    """A node whose pressure changes at these times, and pulls of ours."""

    def __init__(self, pressures: Mapping[float, float], *, images: Sequence[str] = tuple(SIZES)) -> None:
        self._pressures = pressures
        self._images = images
        self.told: list[tuple[float, str, tuple[str, ...]]] = []
        self.details: list[str] = []
        self.notices: list[str] = []
        self.pauses = Pauses(self._emit, lambda image: Sight(total=SIZES[image]))

    async def run(self, *, until: float) -> None:
        with trio.move_on_after(until):
            async with trio.open_nursery() as nursery:
                for image in self._images:
                    nursery.start_soon(self.pauses.run, PausablePull(image, "lease"), trio.sleep_forever)
                await nursery.start(IoPressure(20, self.pauses, self._emit, read=self._read).run)

    def _read(self) -> float:
        now = max(time for time in self._pressures if time <= trio.current_time())
        return self._pressures[now]

    def _emit(self, event: Event) -> None:
        match event:
            case PullsPaused():
                self.told.append((trio.current_time(), "-", event.images))
                self.details.append(event.detail)
            case PullsResumed():
                self.told.append((trio.current_time(), "+", event.images))
            case Notice():
                self.notices.append(event.message)


async def test_no_pull_starts_above_the_limit_and_those_in_progress_go_on(autojump_clock):
    """Above it from 3 s to 15 s."""
    busy = Busy({0: 20, 3: 21, 15: 20})

    await busy.run(until=60)

    assert [(4, "-", ()), (16, "+", ())] == busy.told
    assert ["disk pressure 21%, limit 20%"] == busy.details


async def test_the_gate_stays_closed_for_as_long_as_the_average_needs(autojump_clock):
    busy = Busy({0: 0, 3: 21, 5: 0})

    await busy.run(until=60)

    assert [(4, "-", ()), (14, "+", ())] == busy.told


async def test_at_twice_the_limit_the_largest_is_paused_and_ten_seconds_later_the_next(autojump_clock):
    """Then they go on one by one, and at last new ones start."""
    busy = Busy({0: 0, 3: 41, 23: 20})

    await busy.run(until=90)

    assert [
        (4, "-", ("large",)),
        (14, "-", ("middle",)),
        (24, "+", ("middle",)),
        (34, "+", ("large",)),
    ] == busy.told


async def test_between_the_limit_and_its_double_nothing_changes(autojump_clock):
    busy = Busy({0: 0, 3: 41, 5: 30})

    await busy.run(until=90)

    assert [(4, "-", ("large",))] == busy.told


async def test_before_the_first_pull_the_pressure_is_known(autojump_clock):
    busy = Busy({0: 21}, images=())

    await busy.run(until=1)

    assert [(0, "-", ())] == busy.told


async def test_where_the_kernel_tells_nothing_pulls_go_on_and_a_warning_says_so(autojump_clock, tmp_path):
    events: list[Event] = []
    pauses = Pauses(events.append)

    await IoPressure(20, pauses, events.append, read=lambda: read_pressure(tmp_path / "none")).run()

    (notice,) = events
    assert isinstance(notice, Notice)
    assert notice.message.startswith("--max-io-pressure disabled: the kernel reports no disk pressure: [Errno 2]")
    assert not await pauses.pass_gate()


@pytest.mark.parametrize(
    ("text", "pressure"),
    [
        ("some avg10=0.00 avg60=0.12 avg300=0.24 total=9633562\nfull avg10=7.00 avg60=0 avg300=0 total=2\n", 0.0),
        ("some avg10=99.31 avg60=0.12 avg300=0.24 total=9633562\n", 99.31),
    ],
)
def test_the_average_of_ten_seconds_is_read(tmp_path, text, pressure):
    path = tmp_path / "io"
    path.write_text(text)

    assert pressure == read_pressure(path)


@pytest.mark.parametrize("text", ["", "full avg10=1.00 avg60=0 avg300=0 total=2\n", "some avg10=x "])
def test_what_is_not_an_average_is_an_error(tmp_path, text):
    path = tmp_path / "io"
    path.write_text(text)

    with pytest.raises(OSError, match="no average"):
        read_pressure(path)
