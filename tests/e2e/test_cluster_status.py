"""`status` and `why` on a cluster, against what was injected: with the aggregator, and without it."""

from collections.abc import Iterator

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import Fault
from tests.e2e.asking import STATUS, ask, no_aggregator, status
from tests.e2e.warmcluster import IMAGES, INSTANCE, NAMESPACE, WarmCluster
from tests.support.cluster_registry import NodesRegistry

pytestmark = [
    pytest.mark.cluster,
    # What the commands look at is not the runtime's.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]

NOWHERE, REFUSED, STALLED = (f"faults.example.com/team/{name}:1" for name in ("nowhere", "refused", "stalled"))
"""One that its registry does not know, one for which it wants a login, one that stops in the middle of a layer."""


@pytest.fixture(scope="module")
def registry(site: WarmCluster) -> Iterator[NodesRegistry]:
    """It serves what it must until it is healed."""
    with NodesRegistry(site.cluster, "faults.example.com") as running:
        for name in ("refused", "stalled"):
            running.add(f"team/{name}:1", make_image([300_000], seed=name))
        running.require_basic({"somebody": "something"}, prefix="team/refused")
        running.fail("layer", Fault.stall_after(100_000), image="team/stalled:1", forever=True)
        yield running


@pytest.fixture(scope="module")
def injected(site: WarmCluster, registry: NodesRegistry) -> Iterator[WarmCluster]:
    """Every node has two images, has failed to pull two more, and pulls the fifth."""
    site.start_change(*IMAGES, NOWHERE, REFUSED, STALLED)
    site.wait_for_pulls(STALLED)
    for image in (NOWHERE, REFUSED):
        site.wait_until(
            lambda image=image: ["failed"] * len(site.nodes) == site.states(image), f"the failure of {image}"
        )
    yield site
    registry.heal()
    site.change_list(*IMAGES)


def test_status_counts_nodes_and_gives_causes(injected: WarmCluster) -> None:
    found = ask(injected, STATUS)

    assert 0 == found.code, found.text
    (row,) = [line.split() for line in found.text.splitlines() if line.startswith(NAMESPACE) and "/" not in line]
    count = str(len(injected.nodes))
    assert [NAMESPACE, INSTANCE, count, "0", count, "0", "0", "0", "5"] == row[:9]
    causes = [line.strip() for line in found.text.splitlines() if line.startswith(f"  {count} nodes: ")]
    assert [True, True] == [any(image in line for line in causes) for image in (NOWHERE, REFUSED)]
    assert not any(STALLED in line for line in causes)
    assert 2 == found.text.count("to do: ")


def test_status_lists_nodes_and_images(injected: WarmCluster) -> None:
    found = ask(injected, f"{STATUS} --nodes --images")

    lines = [line.split() for line in found.text.splitlines()]
    nodes, count = sorted(injected.nodes), str(len(injected.nodes))
    assert [[node, "pulling", "2/5"] for node in nodes] == sorted(
        line[:3] for line in lines if line[:1] and line[0] in nodes
    )
    shown = {line[0]: line[-3:-1] for line in lines if line[:1] and line[0] in {*IMAGES, NOWHERE, REFUSED, STALLED}}
    assert {image: [count, "0"] if image in IMAGES else ["0", count] for image in shown} == shown
    assert 5 == len(shown)


def test_status_is_the_same_for_programs(injected: WarmCluster) -> None:
    found = status(injected)

    assert "aggregator (through the API server)" == found["source"]
    assert dict.fromkeys(injected.nodes, "pulling") == {node["node"]: node["state"] for node in found["nodes"]}
    assert dict.fromkeys((NOWHERE, REFUSED), len(injected.nodes)) == {
        cause["image"]: cause["nodes"] for cause in found["causes"]
    }
    assert {NOWHERE: ("permanent", "not_found"), REFUSED: ("refused", "denied")} == {
        cause["image"]: (cause["error_class"], cause["reason"]) for cause in found["causes"]
    }


@pytest.mark.parametrize(("image", "words"), [(NOWHERE, "not found"), (REFUSED, "refused/denied")])
def test_why_shows_every_attempt(injected: WarmCluster, image: str, words: str) -> None:
    found = ask(injected, f"kubectl nodeprefetch why node-2 {image} --namespace {NAMESPACE}")

    assert 0 == found.code, found.text
    assert image in found.text
    assert words in found.text


def test_why_of_a_node_names_all_that_it_lacks(injected: WarmCluster) -> None:
    found = ask(injected, f"kubectl nodeprefetch why node-2 --namespace {NAMESPACE}")

    assert 0 == found.code, found.text
    assert all(image in found.text for image in (NOWHERE, REFUSED, STALLED))


def test_without_the_aggregator_why_reads_the_pods_log(injected: WarmCluster) -> None:
    """And `status` says what it was made from."""
    with no_aggregator(injected):
        counted = ask(injected, STATUS)
        why = ask(injected, f"kubectl nodeprefetch why node-2 {NOWHERE} --namespace {NAMESPACE}")

    assert "node labels and pods" in counted.text
    assert (0, True) == (why.code, NOWHERE in why.text), why.text
    assert "log" in why.text
