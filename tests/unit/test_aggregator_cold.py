"""For how long a node has lacked images: what alerts that must not fire in ordinary life need."""

import pytest

from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.cold import HEARD_WITHIN, ColdNodes, Seen
from nodeprefetch.aggregator.store.overview import Overviews
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.events import Outcome
from tests.support.batches import attempt, batch_of, begun, ended

NODE, OTHER = (1, 1), (2, 1)


def longest(*looks, at=None):
    """What is known after looks at the states of one node, by their times. Each state has just arrived."""
    nodes = ColdNodes()
    for now, state in looks:
        nodes.update({NODE: Seen(state, now)} if state else {}, now)
    return nodes.longest(looks[-1][0] if at is None else at)


def test_time_counts_from_the_first_pull_on():
    assert {1: 500} == longest((1000, "waiting"), (2000, "pulling"), (2500, "pulling"))


def test_waiting_for_a_turn_does_not_count():
    assert {} == longest((1000, "waiting"), (2000, "waiting"))


@pytest.mark.parametrize("between", ["failed", "waiting", "pulling"])
def test_another_run_without_all_images_does_not_begin_anew(between):
    assert {1: 1500} == longest((1000, "pulling"), (2000, between), (2500, "failed"))


def test_a_node_that_was_warm_or_gone_begins_anew():
    assert {1: 0} == longest((1000, "failed"), (2000, None), (2500, "failed"))


def test_a_node_without_news_counts_no_longer():
    looks = ((1000, "failed"), (1900, "pulling"))

    assert {1: 900 + HEARD_WITHIN} == longest(*looks, at=1900 + HEARD_WITHIN)
    assert {} == longest(*looks, at=1901 + HEARD_WITHIN)


def test_a_node_that_comes_back_after_silence_begins_anew():
    """Its name may be that of another machine."""
    assert {1: 0} == longest((1000, "failed"), (1001 + HEARD_WITHIN, "failed"))


def test_nodes_that_come_and_go_do_not_add_up():
    nodes = ColdNodes()
    for now in range(0, 3600, 60):
        nodes.update({(number, 1): Seen("pulling", now) for number in (now // 60, now // 60 + 1)}, now)

    assert {1: 60} == nodes.longest(3540)


async def test_the_store_says_since_when():
    """Read at 1000, 1300 and 1900: a node that fails twice and another that is warm; then the first is warm, too."""
    with open_database(None) as database:
        store, now = Store(database, Bounds()), [0.0]
        overviews = Overviews(store, lambda: now[0])

        async def look(at, *events, **about):
            now[0] = at
            store.write([[Submission(batch=batch_of(*events, **about))]], int(at))
            await overviews.latest()
            return overviews.longest_cold()

        assert {} == await look(900, ended("a:1"), ended("b:1"), node="warm", run_id="0")
        assert {} == await look(900, begun("a:1", "b:1"), node="cold", run_id="1")
        assert {"main": 0} == await look(1000, ended("a:1", Outcome.FAILED), node="cold", run_id="1")
        assert {"main": 300} == await look(1300, begun("a:1", "b:1"), node="cold", run_id="2")
        assert {"main": 900} == await look(1900, attempt("a:1", error="no"), node="cold", run_id="2")
        now[0] = 2000
        assert {"main": 1000} == overviews.longest_cold()
        assert {} == await look(2000, ended("a:1"), ended("b:1"), node="cold", run_id="2")
