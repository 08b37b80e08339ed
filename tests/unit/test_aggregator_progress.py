"""How far pulls are, as the aggregator remembers it."""

from nodeprefetch.aggregator.store.progress import LatestProgress
from nodeprefetch.events import AttemptFinished, ImageFinished, Outcome, Phase, Progress, PullsPaused, PullsResumed
from nodeprefetch.settings import PullPolicy

KEY = (1, 2, 3)


def progress(attempt: str = "x", done: int = 5) -> Progress:
    return Progress(attempt_id=attempt, image="a:1", phase=Phase.DOWNLOADING, done_bytes=done, total_bytes=9, rate=2)


def attempt_end(attempt: str) -> AttemptFinished:
    return AttemptFinished(attempt_id=attempt, image="a:1", attempt=1, started_at=0, duration=1, limit=30)


IMAGE_END = ImageFinished(
    image="a:1", outcome=Outcome.FAILED, policy=PullPolicy.ALWAYS, attempts=1, elapsed=5, reason="cancelled"
)


def test_the_latest_is_shown_for_the_run_that_told_it():
    latest = LatestProgress()
    latest.take(KEY, 7, progress(done=4))
    latest.take(KEY, 7, progress(done=5))

    assert {"phase": "downloading", "done_bytes": 5, "total_bytes": 9, "rate": 2} == latest.shown(KEY, 7)
    assert {} == latest.shown(KEY, 8)
    assert {} == latest.shown((1, 2, 4), 7)


def test_the_end_of_its_attempt_ends_it_and_that_of_another_does_not():
    latest = LatestProgress()
    latest.take(KEY, 7, progress("second"))
    latest.end(KEY, 7, attempt_end("first"))
    before = latest.shown(KEY, 7)
    latest.end(KEY, 7, attempt_end("second"))
    latest.end(KEY, 7, attempt_end("second"))

    assert before
    assert {} == latest.shown(KEY, 7)


def test_the_end_of_the_image_ends_it_unless_it_is_that_of_an_earlier_run():
    latest = LatestProgress()
    latest.take(KEY, 7, progress())
    latest.end(KEY, 6, IMAGE_END)
    before = latest.shown(KEY, 7)
    latest.end(KEY, 7, IMAGE_END)

    assert before
    assert {} == latest.shown(KEY, 7)


def test_of_too_many_the_ones_not_heard_of_for_longest_are_forgotten():
    latest = LatestProgress(most=2)
    for image in (1, 2, 1, 3):
        latest.take((1, 1, image), 7, progress())

    assert [True, False, True] == [bool(latest.shown((1, 1, image), 7)) for image in (1, 2, 3)]


def test_a_paused_pull_is_shown_with_all_its_reasons_and_no_rate():
    latest = LatestProgress()
    latest.take(KEY, 7, progress())
    for reason in ("other-pull", "io-pressure"):
        latest.take(KEY, 7, PullsPaused(reason=reason, images=("a:1",)))
    both = latest.shown(KEY, 7)
    latest.take(KEY, 7, PullsResumed(reason="other-pull", images=("a:1",), after=1))

    assert ("io-pressure,other-pull", 0) == (both["paused"], both["rate"])
    assert "io-pressure" == latest.shown(KEY, 7)["paused"]


def test_a_pause_is_shown_before_any_progress_and_ends_with_the_attempt():
    latest = LatestProgress()
    latest.take(KEY, 7, PullsPaused(reason="other-pull", images=("a:1",)))
    before = latest.shown(KEY, 7)
    latest.end(KEY, 7, attempt_end("x"))

    assert {"paused": "other-pull"} == before
    assert {} == latest.shown(KEY, 7)
