"""The live table, drawn as text."""

import io

import pytest
from rich.console import Console

from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    ImageFinished,
    ImagesListed,
    Notice,
    Outcome,
    RetryPlanned,
    RunEnd,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
)
from nodeprefetch.report.table import RunTable, format_size, live_table
from nodeprefetch.settings import PullPolicy


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def started(*images: str) -> RunStarted:
    return RunStarted(run_id="r", node="n", version="1", runtime="containerd 2", socket="/s", images=images)


def attempt_failed(image: str) -> AttemptFinished:
    return AttemptFinished(
        attempt_id="1",
        image=image,
        attempt=1,
        started_at=0,
        duration=1,
        limit=30,
        error="the registry said 500",
        error_class="passing",
        reason="server_error",
    )


def finished(image: str, outcome: Outcome, **more: object) -> ImageFinished:
    return ImageFinished(
        image=image, outcome=outcome, policy=PullPolicy.ALWAYS, **{"attempts": 1, "elapsed": 5, **more}
    )


def drawn(table: RunTable, *, height: int = 40, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(table.draw(height))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_each_image_shows_state_attempt_time_size_and_last_error():
    clock = Clock()
    table = RunTable(clock)
    table.take(started("done:1", "here:1", "bad:1", "busy:1", "waits:1"))
    table.take(finished("done:1", Outcome.SUCCEEDED, size=3 * 1024 * 1024))
    table.take(finished("here:1", Outcome.PRESENT, attempts=0))
    table.take(finished("bad:1", Outcome.FAILED, error="no such image", reason="not_found"))
    table.take(AttemptStarted(attempt_id="1", image="busy:1", attempt=3, limit=30))
    table.take(attempt_failed("waits:1"))
    table.take(RetryPlanned(image="waits:1", delay=2))
    clock.now = 8.0

    assert [
        "containerd 2 at /s",
        "image    state      attempt  time     size  last error",
        "bad:1    failed           1    5s           not_found",
        "busy:1   pulling          3    8s",
        "waits:1  waiting               8s           server_error",
        "done:1   succeeded        1    5s  3.0 MiB",
        "here:1   present               5s",
        "1 waiting, 1 pulling, 1 succeeded, 1 present, 1 failed (8s)",
    ] == drawn(table)


def test_the_least_interesting_rows_give_way_on_a_low_terminal():
    table = RunTable(Clock())
    table.take(started(*(f"image{number}:1" for number in range(10))))
    for number in range(9):
        table.take(finished(f"image{number}:1", Outcome.PRESENT))
    table.take(finished("image9:1", Outcome.FAILED, reason="dns"))

    lines = drawn(table, height=8)

    assert ["image9:1", "image0:1"] == [line.split()[0] for line in lines[2:4]]
    assert "… and 8 more" == lines[4]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (RuntimeLost(error="no answer"), "the runtime is gone, pulls wait for it: no answer"),
        (RuntimeReturned(after=2.04), "the runtime answers again after 2s"),
        (Notice(message="take care"), "take care"),
        (Notice(message="by the way", is_warning=False), None),
        (ImagesListed(when="after", images=("a", "b")), "2 names held after the pulls\n  a\n  b"),
    ],
)
def test_what_belongs_to_no_image_is_said_above_the_table(event, text):
    assert text == RunTable(Clock()).take(event)


def test_before_the_run_has_begun_nothing_is_known():
    assert ["image  state  attempt  time  size  last error", "no images yet (0s)"] == drawn(RunTable(Clock()))


def test_the_last_state_and_the_errors_in_full_stay_on_the_terminal():
    stream = io.StringIO()
    console = Console(file=stream, width=100, height=5, force_terminal=True)

    with live_table(console) as tell:
        tell(started("a:1", "b:1", "c:1"))
        tell(Notice(message="take care"))
        for name in ("a:1", "b:1"):
            tell(finished(name, Outcome.SUCCEEDED))
        tell(finished("c:1", Outcome.FAILED, error="not there", reason="not_found"))
        tell(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=2, present=0, failed=1, elapsed=5))

    shown = stream.getvalue()
    assert "take care" in shown
    assert "… and" not in shown.split("2 succeeded, 1 failed (5s)")[-2].rsplit("\x1b[2K", 1)[-1]
    assert "c:1: not there" in shown


@pytest.mark.parametrize(
    ("size", "text"), [(0, ""), (512, "512 B"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB"), (3 * 2**40, "3.0 TiB")]
)
def test_sizes_are_in_powers_of_1024(size, text):
    assert text == format_size(size)
