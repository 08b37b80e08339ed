"""How much of the progress of pulls a reader gets."""

from nodeprefetch.events import AttemptFinished, AttemptStarted, Phase, Progress
from nodeprefetch.report.readers import ProgressPace


def progress(attempt: str) -> Progress:
    return Progress(attempt_id=attempt, image="a:1", phase=Phase.DOWNLOADING)


def started(attempt: str) -> AttemptStarted:
    return AttemptStarted(attempt_id=attempt, image="a:1", attempt=1, limit=30)


def finished(attempt: str) -> AttemptFinished:
    return AttemptFinished(attempt_id=attempt, image="a:1", attempt=1, started_at=0, duration=1, limit=30)


def test_each_attempt_has_one_an_interval_from_its_start_on():
    now = 0.0
    pace = ProgressPace(5, lambda: now)
    passed = []
    for moment in (0, 1, 4.9, 5, 9, 10):
        now = moment
        if moment == 0:
            assert pace.passes(started("x"))
            assert pace.passes(started("y"))
        passed += [(moment, attempt) for attempt in ("x", "y") if pace.passes(progress(attempt))]

    assert [(5, "x"), (5, "y"), (10, "x"), (10, "y")] == passed


def test_all_else_passes_and_an_attempt_that_ended_is_forgotten():
    pace = ProgressPace(5, lambda: 0)
    assert pace.passes(started("x"))
    assert not pace.passes(progress("x"))

    assert pace.passes(finished("x"))
    assert {} == pace._due
