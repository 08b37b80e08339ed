"""Nodes that pull in turn: the registry never sees two of them, whatever happens to a node or to the aggregator."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import Fault
from tests.e2e.turns import Turns, installed_turns
from tests.e2e.warmcluster import WarmCluster

pytestmark = [
    pytest.mark.cluster,
    # Tickets are the aggregator's: one version of containerd says it all.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]


@pytest.fixture(scope="module")
def installation(site: WarmCluster) -> Iterator[Turns]:
    with installed_turns(site) as made:
        yield made


@pytest.fixture
def turns(installation: Turns) -> Iterator[Turns]:
    """No node may pull, and the registry has seen none."""
    installation.registry.heal()
    installation.registry.requests.clear()
    yield installation
    installation.limit(0)


def test_nodes_pull_one_after_the_other(turns: Turns) -> None:
    """In the order of their places, once all of them wait."""
    names = serve(turns, 300_000, 300_000, 300_000)
    turns.registry.fail("layer", Fault.slow(600_000), forever=True)
    turns.start(*names)
    turns.wait_for(waiting=turns.site.cluster.nodes, pulling=0)
    assert [] == turns.turns()

    turns.limit(1)
    turns.wait_for_rollout()

    assert turns.order == [turn.node for turn in turns.turns()]
    assert all(first.ended < second.began for first, second in pairwise(turns.turns()))
    assert turns.site.holds(*names)


def test_turns_outlive_the_aggregator_and_a_node_and_follow_edits(turns: Turns) -> None:
    """One image, so slow that its pull ends when the test wants it."""
    names = serve(turns, 20_000_000)
    turns.registry.fail("layer", Fault.slow(100_000), forever=True)
    nodes = turns.site.cluster.nodes
    turns.start(*names)
    turns.wait_for(waiting=nodes, pulling=0)
    turns.limit(1)
    first = turns.wait_for_turn(1)
    assert turns.order[0] == first

    turns.replace_aggregator()  # the holder says that it pulls, and all others wait again
    turns.wait_for(waiting=nodes - 1, pulling=1, limit=1)
    assert 1 == len(turns.turns())

    turns.site.cluster.stop_node(first)
    second = turns.wait_for_turn(2)
    turns.site.cluster.start_node(first)
    assert turns.order[1] == second
    assert turns.turns()[0].ended < turns.turns()[1].began

    turns.wait_for(waiting=nodes - 1, pulling=1)  # the node that was away has no turn before its turn
    assert 2 == len(turns.turns())
    before = turns.aggregators()
    turns.limit(2)
    third = turns.wait_for_turn(3)
    assert third != second
    assert float("inf") == turns.turns()[1].ended  # both pull
    assert before == turns.aggregators()

    turns.registry.heal()
    turns.wait_for_rollout()
    assert turns.site.holds(*names)


def serve(turns: Turns, *sizes: int) -> list[str]:
    """An image of one layer for each size; their names."""
    names = []
    for size in sizes:
        name = f"turns/image{len(names)}-{size}:1"
        turns.registry.add(name, make_image([size], seed=f"turns {len(names)}"))
        names.append(turns.registry.name(name))
    return names
