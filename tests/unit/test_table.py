"""The live table, drawn as text."""

import io
import os
import threading

import pytest
from rich.console import Console

from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    ImageFinished,
    ImagesListed,
    Notice,
    Outcome,
    Phase,
    Progress,
    PullsPaused,
    PullsResumed,
    RegistryThrottled,
    RetryPlanned,
    RunEnd,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
    StartAllowed,
    StartDelayed,
    TagMoved,
)
from nodeprefetch.report.live import live_table
from nodeprefetch.report.table import RunTable
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
    console.print(table.draw(height, width))
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


def with_progress() -> RunTable:
    mib = 2**20
    table = RunTable(Clock())
    table.take(started("half:1", "new:1", "odd:1", "full:1", "done:1", "slow:1"))
    for image in ("half:1", "new:1", "odd:1", "full:1", "slow:1"):
        table.take(AttemptStarted(attempt_id=image, image=image, attempt=1, limit=30))
    table.take(attempt_failed("slow:1"))
    told = {
        "half:1": (Phase.DOWNLOADING, 256 * mib, 512 * mib, 4 * mib),
        "new:1": (Phase.RESOLVING, 0, 0, 0),
        "odd:1": (Phase.DOWNLOADING, 3 * mib, 0, 0),
        "full:1": (Phase.UNPACKING, mib, mib, mib),
        "slow:1": (Phase.DOWNLOADING, 0, mib, 0),
    }
    for image, (phase, done, total, rate) in told.items():
        table.take(Progress(attempt_id=image, image=image, phase=phase, done_bytes=done, total_bytes=total, rate=rate))
    table.take(finished("done:1", Outcome.SUCCEEDED, size=3 * mib))
    return table


def test_a_registry_that_throttles_is_named_above_the_table():
    table = RunTable(Clock())

    text = table.take(RegistryThrottled(registry="quay.io", seconds=1.52, total=1.52, error="429 Too Many Requests"))

    assert "quay.io throttles, its pulls wait 1.5s: 429 Too Many Requests" == text


def test_a_pull_that_is_seen_shows_its_phase_bytes_bar_rate_and_the_time_left():
    assert [
        "containerd 2 at /s",
        "image   state        attempt  time            size  progress         rate  left  last error",
        "half:1  downloading        1    0s  256 of 512 MiB  ━━━━━       4.0 MiB/s  1m4s",
        "new:1   resolving          1    0s",
        "odd:1   downloading        1    0s         3.0 MiB",
        "full:1  unpacking          1    0s  1.0 of 1.0 MiB  ━━━━━━━━━━  1.0 MiB/s",
        "slow:1  downloading        1    0s  0.0 of 1.0 MiB                               server_error",
        "done:1  succeeded          1    5s         3.0 MiB",
        "5 pulling, 1 succeeded (0s)",
    ] == drawn(with_progress(), width=120)


def test_on_a_narrow_terminal_rate_and_time_left_take_the_place_of_the_last_error():
    assert [
        "containerd 2 at /s",
        "image   state             size  progress    last error",
        "half:1  downloading  512.0 MiB  ━━━━━       4.0 MiB/s, 1m4s left",
        "new:1   resolving",
        "odd:1   downloading    3.0 MiB",
        "full:1  unpacking      1.0 MiB  ━━━━━━━━━━  1.0 MiB/s",
        "slow:1  downloading    1.0 MiB              server_error",
        "done:1  succeeded      3.0 MiB",
        "5 pulling, 1 succeeded (0s)",
    ] == drawn(with_progress(), width=80)


def test_what_is_over_shows_no_bar_any_more():
    table = RunTable(Clock())
    table.take(started("a:1"))
    before = drawn(table)
    table.take(AttemptStarted(attempt_id="1", image="a:1", attempt=1, limit=30))
    table.take(Progress(attempt_id="1", image="a:1", phase=Phase.DOWNLOADING, done_bytes=5, total_bytes=9))
    table.take(attempt_failed("a:1"))
    table.take(RetryPlanned(image="a:1", delay=2))

    assert "progress" not in "".join(drawn(table))
    assert before[0] == drawn(table)[0]


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
        (RuntimeLost(error="no answer"), "container runtime unavailable, pulls paused: no answer"),
        (RuntimeReturned(after=2.04), "container runtime available again after 2s"),
        (
            TagMoved(image="a:1\n", before="sha256:" + "0123456789ab" * 5, after="sha256:" + "ab" * 32),
            "a:1\\n: tag moved from sha256:0123456789ab to sha256:abababababab",
        ),
        (Notice(message="take care"), "take care"),
        (Notice(message="by the way", is_warning=False), None),
        (ImagesListed(when="after", images=("a", "b")), "2 image names present after the pulls\n  a\n  b"),
    ],
)
def test_what_belongs_to_no_image_is_said_above_the_table(event, text):
    assert text == RunTable(Clock()).take(event)


def test_paused_pulls_are_shown_as_such_and_below_the_table_why():
    table = RunTable(Clock())
    table.take(started("a:1", "b:1"))
    for image in ("a:1", "b:1"):
        table.take(AttemptStarted(attempt_id=image, image=image, attempt=1, limit=30))
    table.take(PullsPaused(reason="other-pull", images=("a:1",), detail="another pull on this node"))
    paused = drawn(table)
    table.take(PullsResumed(reason="other-pull", images=("a:1",), after=1))
    resumed = drawn(table)

    assert [["a:1", "paused"], ["b:1", "pulling"]] == [line.split()[:2] for line in paused[2:4]]
    assert "2 pulling (0s); held back: another pull on this node" == paused[-1]
    assert ["a:1", "pulling"] == resumed[2].split()[:2]
    assert "2 pulling (0s)" == resumed[-1]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            StartDelayed(ahead=17, pulling=10, limit=10),
            "waiting for a ticket, 17 nodes ahead, 10 of 10 pulling",
        ),
        (
            StartDelayed(starts_in=540.3, error="away"),
            "no answer about a ticket (away), start without one in 9m",
        ),
        (StartDelayed(starts_in=540.3), "start in 9m, this node's place in the spread"),
    ],
)
def test_what_the_first_pull_waits_for_is_shown_until_it_starts(event, text):
    table = RunTable(Clock())
    table.take(started("a:1"))

    assert table.take(event) is None
    waiting = drawn(table.snapshot())
    table.take(StartAllowed(after=90))

    assert f"1 waiting (0s); held back: {text}" == waiting[-1]
    assert "1 waiting (0s)" == drawn(table)[-1]


def test_before_the_run_has_begun_nothing_is_known():
    assert ["image  state  attempt  time  size  last error", "no images yet (0s)"] == drawn(RunTable(Clock()))


def test_the_last_state_and_the_errors_in_full_stay_on_the_terminal():
    stream = io.StringIO()
    console = Console(file=stream, width=100, height=5, force_terminal=True)

    with live_table(console) as emit:
        emit(started("a:1", "b:1", "c:1"))
        emit(Notice(message="take care"))
        for name in ("a:1", "b:1"):
            emit(finished(name, Outcome.SUCCEEDED))
        emit(finished("c:1", Outcome.FAILED, error="not there", reason="not_found"))
        emit(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=2, present=0, failed=1, elapsed=5))

    shown = stream.getvalue()
    assert "take care" in shown
    assert "… and" not in shown.split("2 succeeded, 1 failed (5s)")[-2].rsplit("\x1b[2K", 1)[-1]
    assert "c:1: not there" in shown


def test_what_others_name_is_text_in_a_table():
    table = RunTable(Clock())
    table.take(
        RunStarted(
            run_id="r", node="n", version="1", runtime="[/x]\x1b]0;x\x07", socket="/[b]/\u202es", images=("a\x9b1m:1",)
        )
    )

    lines = drawn(table)

    assert r"[/x]\x1b]0;x\x07 at /[b]/\u202es" == lines[0].rstrip()
    assert r"a\x9b1m:1" in lines[2]
    assert r"take \x1b[2J care" == table.take(Notice(message="take \x1b[2J care"))


def test_a_terminal_that_takes_nothing_holds_neither_the_run_nor_its_end_up():
    """Without a reader a pipe takes 64 KiB, and the name alone has more."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb"):
        console = Console(file=stream, width=100, height=5, force_terminal=True)
        with live_table(console, grace=0.01) as emit:
            emit(started("a" * 200_000))
            for number in range(3000):
                emit(Notice(message=f"{number}"))
            emit(finished("a" * 200_000, Outcome.FAILED, error="not there"))

        assert any(thread.name == "screen" for thread in threading.enumerate())


def test_a_drawing_does_not_change_with_what_happens_meanwhile():
    table = RunTable(Clock())
    table.take(started("a:1"))
    table.take(AttemptStarted(attempt_id="1", image="a:1", attempt=1, limit=30))
    table.take(Progress(attempt_id="1", image="a:1", phase=Phase.DOWNLOADING, done_bytes=5, total_bytes=10))

    before = table.snapshot()
    table.take(finished("a:1", Outcome.SUCCEEDED))

    assert "downloading" in "".join(drawn(before))
