"""Attempts and lines to show are read from what a pod has logged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.board import AttemptRecord
from nodeprefetch.cluster.image_facts import ImageFacts
from nodeprefetch.cluster.pod_log import logged_attempts, logged_images, read_log, shown_lines
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    ImageFinished,
    Outcome,
    Phase,
    Progress,
    RetryPlanned,
    RunStarted,
)
from nodeprefetch.keep.log import line_of
from nodeprefetch.report.log import text_of
from nodeprefetch.settings import LogFormat, PullPolicy

APP, WEB = "registry.test/app:1", "registry.test/web:2"
STYLES = pytest.mark.parametrize("style", LogFormat)


def started(at: float = 1000.0) -> RunStarted:
    return RunStarted(
        at=at, run_id="r1", node="n1", version="1", runtime="containerd 2", socket="/run/c", images=(APP, WEB)
    )


def failed(image: str = APP, *, at: float = 1030.0, error: str = "timed out after 30s") -> AttemptFinished:
    return AttemptFinished(
        at=at,
        attempt_id="x",
        image=image,
        attempt=2,
        started_at=at - 30,
        duration=30.25,
        limit=30.0,
        credential="pull-secret quay.io",
        error=error,
        error_class="passing",
        reason="timeout",
    )


def pulled(image: str = WEB, *, at: float = 1040.0) -> AttemptFinished:
    return AttemptFinished(
        at=at,
        attempt_id="y",
        image=image,
        attempt=1,
        started_at=at - 4,
        duration=4.0,
        limit=30.0,
        size=1 << 20,
        digest="sha256:1",
    )


def ended(image: str = APP, *, at: float = 1050.0, outcome: Outcome = Outcome.FAILED) -> ImageFinished:
    error = {"error": "manifest unknown", "error_class": "permanent", "reason": "not_found"}
    return ImageFinished(
        at=at,
        image=image,
        outcome=outcome,
        policy=PullPolicy.ALWAYS,
        attempts=1,
        elapsed=1.0,
        **(error if outcome is Outcome.FAILED else {}),
    )


def log_of(*events: Event, style: LogFormat = LogFormat.LOGFMT) -> str:
    return "".join(f"{text_of(event, style)}\n" for event in events)


@STYLES
def test_the_attempts_of_a_log_are_those_of_the_run(style: LogFormat):
    """Newest first; they started when they ended less their durations."""
    lines = read_log(log_of(started(), AttemptStarted(at=1000, attempt_id="x", image=APP, attempt=2, limit=30.0),
                            failed(), pulled(), style=style))  # fmt: skip

    assert logged_attempts(lines, node="n1") == (
        AttemptRecord(
            node="n1",
            image=WEB,
            attempt=1,
            started_at=1036,
            duration=4,
            limit=30,
            run_id="r1",
            size=1 << 20,
            digest="sha256:1",
        ),
        AttemptRecord(
            node="n1",
            image=APP,
            attempt=2,
            started_at=999.75,
            duration=30.25,
            limit=30,
            run_id="r1",
            credential="pull-secret quay.io",
            error="timed out after 30s",
            error_class="passing",
            reason="timeout",
        ),
    )


@STYLES
def test_an_image_that_waits_for_its_next_attempt_keeps_the_error_of_the_last_one(style: LogFormat):
    lines = read_log(log_of(failed(), RetryPlanned(at=1030, image=APP, delay=12.5), style=style))

    assert logged_images(lines) == {
        APP: ImageFacts(
            state="waiting",
            next_attempt=1042.5,
            error="timed out after 30s",
            error_class="passing",
            reason="timeout",
        )
    }


@STYLES
def test_the_last_line_about_an_image_decides_its_state(style: LogFormat):
    lines = read_log(log_of(failed(), ended(), pulled(), ended(WEB, outcome=Outcome.SUCCEEDED), style=style))

    assert logged_images(lines) == {
        APP: ImageFacts(state="failed", error="manifest unknown", error_class="permanent", reason="not_found"),
        WEB: ImageFacts(state="succeeded"),
    }


@STYLES
def test_while_an_image_is_pulled_its_bytes_and_its_last_error_are_known(style: LogFormat):
    lines = read_log(
        log_of(
            failed(),
            AttemptStarted(at=1031, attempt_id="z", image=APP, attempt=3, limit=60.0),
            Progress(at=1032, attempt_id="z", image=APP, phase=Phase.DOWNLOADING, done_bytes=5, total_bytes=10),
            style=style,
        )
    )

    facts = logged_images(lines)[APP]
    assert ("pulling", 3, 5, 10, "timeout") == (
        facts.state, facts.attempt, facts.done_bytes, facts.total_bytes, facts.reason
    )  # fmt: skip


@pytest.mark.parametrize("style", ["logfmt", "json"])
def test_what_failed_is_tried_again_in_the_next_run_of_keep(style: str):
    between = line_of(style, 1060, "WARN", "run failed, retrying", {"error": "exit code 1", "delay": 90.0})
    lines = read_log(log_of(ended(), ended(WEB, outcome=Outcome.SUCCEEDED), style=LogFormat(style)) + between)

    assert (1150, 0) == (logged_images(lines)[APP].next_attempt, logged_images(lines)[WEB].next_attempt)


def test_in_a_new_run_an_image_that_failed_waits_and_keeps_its_error():
    (facts,) = logged_images(read_log(log_of(ended(), started(1100)))).values()

    assert ("waiting", "manifest unknown") == (facts.state, facts.error)


def test_lines_about_the_image_and_problems_are_preferred_to_newer_ones():
    """Of 30 lines, the first two are a problem and the image; 8 places are left for the newest others."""
    text = log_of(failed(WEB), pulled(APP), *(pulled(WEB, at=2000 + number) for number in range(28)))

    shown = shown_lines(read_log(text), {APP}, limit=10)

    assert [line.at for line in shown] == [1030, 1040, *range(2020, 2028)]


def test_only_the_newest_problems_are_shown_if_there_are_many():
    text = log_of(*(failed(at=1000 + number) for number in range(30)))

    assert [line.at for line in shown_lines(read_log(text), limit=3)] == [1027, 1028, 1029]


def test_nothing_is_lost_of_a_short_log():
    lines = read_log(log_of(pulled(), pulled(APP)))

    assert lines == shown_lines(lines)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("nodeprefetch: --cri-socket: \x1b[31mred", r"nodeprefetch: --cri-socket: \x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        ("pull https://me:secret@registry.test/x?token=1", "pull https://***@registry.test/x?…"),
        ("x" * 9000, "x" * 1400 + " … " + "x" * 597),
    ],
)
def test_other_lines_are_shown_printable_and_without_secrets(line: str, shown: str):
    (read,) = read_log(line)

    assert (shown, True, "") == (read.text, read.is_problem, read.message)


@STYLES
def test_a_line_without_secrets_is_shown_as_it_was_written(style: LogFormat):
    text = log_of(failed(), style=style)

    assert [text.rstrip("\n")] == [line.text for line in read_log(text)]
    assert "pull-secret quay.io" in text


def test_errors_lose_their_secrets_and_what_does_not_print():
    lines = read_log(log_of(failed(error="get https://me:hidden@r.test/v2: \x1b]0;x\x07")))

    (attempt,) = logged_attempts(lines, node="n1")
    assert attempt.error == r"get https://***@r.test/v2: \x1b]0;x\x07"
    assert logged_images(lines)[APP].error == attempt.error


@pytest.mark.parametrize(
    "line",
    [
        "time=2026-01-31T12:00:00.000Z level=INFO msg=pulled image",
        'time=2026-01-31T12:00:00.000Z level=INFO msg="pulled',
        r'time=2026-01-31T12:00:00.000Z level=INFO msg="\q"',
        '{"time":"2026-01-31T12:00:00.000Z","msg":"pulled"',
        "{}",
        "[" * 5000,
        "{" * 5000,
    ],
)
def test_a_damaged_line_is_shown_as_it_is(line: str):
    (read,) = read_log(line)

    assert ("", {}) == (read.message, read.fields)


@pytest.mark.parametrize(
    "line",
    [
        'time=yesterdayZ level=WARN msg="attempt failed" image=a attempt=x elapsed=long limit=-1s size=1e9',
        '{"time":"9999-99-99T99:99:99Z","msg":"attempt failed","image":"a","elapsed":1e400,"size":[1]}',
    ],
)
def test_values_that_cannot_be_read_count_as_unknown(line: str):
    (attempt,) = logged_attempts(read_log(line), node="n1")

    assert (0, 0, 0, 0, 0) == (
        attempt.started_at, attempt.duration, attempt.limit, attempt.size, attempt.attempt
    )  # fmt: skip


@given(st.text())
def test_any_text_can_be_read(text: str):
    lines = read_log(text)

    logged_attempts(lines, node="n1")
    logged_images(lines)
    assert all(line.text.isprintable() for line in shown_lines(lines))


@STYLES
@given(error=st.text(), image=st.text(min_size=1))
def test_what_a_run_logs_is_read_again(style: LogFormat, error: str, image: str):
    (line,) = read_log(log_of(failed(image=image, error=error), style=style))

    assert image == line.fields["image"]
    assert error == line.fields.get("error", "")
