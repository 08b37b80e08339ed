"""How far pulls are, as the aggregator remembers it."""

from nodeprefetch.aggregator.store.states import UnderWay
from nodeprefetch.events import AttemptFinished, ImageFinished, Outcome, Phase, Progress
from nodeprefetch.settings import PullPolicy

PLACE = (1, 2, 3)


def progress(attempt: str = "x", done: int = 5) -> Progress:
    return Progress(attempt_id=attempt, image="a:1", phase=Phase.DOWNLOADING, done_bytes=done, total_bytes=9, rate=2)


def attempt_end(attempt: str) -> AttemptFinished:
    return AttemptFinished(attempt_id=attempt, image="a:1", attempt=1, started_at=0, duration=1, limit=30)


IMAGE_END = ImageFinished(
    image="a:1", outcome=Outcome.FAILED, policy=PullPolicy.ALWAYS, attempts=1, elapsed=5, reason="cancelled"
)


def test_the_latest_is_shown_for_the_run_that_told_it():
    under_way = UnderWay()
    under_way.take(PLACE, 7, progress(done=4))
    under_way.take(PLACE, 7, progress(done=5))

    assert {"phase": "downloading", "done_bytes": 5, "total_bytes": 9, "rate": 2} == under_way.shown(PLACE, 7)
    assert {} == under_way.shown(PLACE, 8)
    assert {} == under_way.shown((1, 2, 4), 7)


def test_the_end_of_its_attempt_ends_it_and_that_of_another_does_not():
    under_way = UnderWay()
    under_way.take(PLACE, 7, progress("second"))
    under_way.end(PLACE, 7, attempt_end("first"))
    before = under_way.shown(PLACE, 7)
    under_way.end(PLACE, 7, attempt_end("second"))
    under_way.end(PLACE, 7, attempt_end("second"))

    assert before
    assert {} == under_way.shown(PLACE, 7)


def test_the_end_of_the_image_ends_it_unless_it_is_that_of_an_earlier_run():
    under_way = UnderWay()
    under_way.take(PLACE, 7, progress())
    under_way.end(PLACE, 6, IMAGE_END)
    before = under_way.shown(PLACE, 7)
    under_way.end(PLACE, 7, IMAGE_END)

    assert before
    assert {} == under_way.shown(PLACE, 7)


def test_of_too_many_the_ones_not_heard_of_for_longest_are_forgotten():
    under_way = UnderWay(most=2)
    for image in (1, 2, 1, 3):
        under_way.take((1, 1, image), 7, progress())

    assert [True, False, True] == [bool(under_way.shown((1, 1, image), 7)) for image in (1, 2, 3)]
