"""How often an aggregator asks nodes to report progress."""

import pytest

from nodeprefetch.aggregator.web.progress_interval import ProgressInterval
from nodeprefetch.batch import Batch
from nodeprefetch.events import Notice, Phase, Progress

PROGRESS = Progress(attempt_id="x", image="a", phase=Phase.DOWNLOADING)


def batch(node: object, *events: Progress | Notice, instance: str = "") -> Batch:
    return Batch(run_id="r", node=f"n{node}", version="1", instance=instance, events=events)


@pytest.mark.parametrize(
    ("nodes", "seconds"), [(0, 5), (1, 5), (300, 5), (301, 6), (1000, 17), (3600, 60), (10_000, 60)]
)
def test_all_nodes_together_send_at_most_sixty_batches_a_second(nodes: int, seconds: int) -> None:
    interval = ProgressInterval(lambda: 0.0)
    for node in range(nodes):
        interval.note(batch(node, PROGRESS))
        interval.note(batch(node, Notice(message="x"), PROGRESS))

    assert seconds == interval.seconds


def test_only_nodes_that_reported_progress_lately_count() -> None:
    now = 0.0
    interval = ProgressInterval(lambda: now)
    for node in range(600):
        interval.note(batch(node, PROGRESS))
        interval.note(batch(-node - 1, Notice(message="no progress")))
    now = 60
    for node in range(400):
        interval.note(batch(node, PROGRESS))

    assert 10 == interval.seconds
    now = 121
    assert 7 == interval.seconds
    now = 181
    assert 5 == interval.seconds
    assert not interval._heard


def test_a_node_counts_for_each_instance() -> None:
    interval = ProgressInterval(lambda: 0.0)
    for node in range(600):
        for instance in ("a", "b"):
            interval.note(batch(node, PROGRESS, instance=instance))

    assert 20 == interval.seconds
