"""What the node object says about where the node belongs."""

from functools import partial

import pytest

from nodeprefetch.events import Event, NodeDescribed, RunEnd, RunFinished
from nodeprefetch.kube import Node
from nodeprefetch.report.log import log_to
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_description import NodeDescription, describe
from nodeprefetch.report.node_label import NodeLabel
from tests.support.fake_nodes import FakeNodes

INSTANCE_TYPE = "node.kubernetes.io/instance-type"


def node(labels: dict[str, str] | None = None, created: str = "") -> Node:
    return Node(name="n1", labels=labels or {}, annotations={}, resource_version="1", creation_timestamp=created)


def test_zone_and_age_are_those_of_the_object():
    found = describe(node({"topology.kubernetes.io/zone": "eu-1a"}, "2026-01-31T12:00:00Z"))

    assert ("eu-1a", "", 1769860800) == (found.zone, found.pool, found.created)


@pytest.mark.parametrize(
    ("label", "pool"),
    [
        ("cloud.google.com/gke-nodepool", "p"),
        ("eks.amazonaws.com/nodegroup", "p"),
        ("kubernetes.azure.com/agentpool", "p"),
        ("karpenter.sh/nodepool", "p"),
        ("example.com/pool", "m5"),
    ],
)
def test_the_pool_is_that_of_the_cloud_else_the_instance_type(label, pool):
    assert pool == describe(node({INSTANCE_TYPE: "m5", label: "p"})).pool


@pytest.mark.parametrize("created", ["", "soon", "1950-01-01T00:00:00Z", "0001-01-01T00:00:00", "99999999999999"])
def test_an_age_that_makes_no_sense_is_unknown(created):
    assert 0 == describe(node(created=created)).created


def test_texts_are_bounded():
    found = describe(node({"topology.kubernetes.io/zone": "z" * 9999, INSTANCE_TYPE: "i" * 9999}))

    assert (63, 63) == (len(found.zone), len(found.pool))


def test_it_is_said_once():
    said: list[Event] = []
    description = NodeDescription(said.append)

    description.take(node({INSTANCE_TYPE: "m5"}))
    description.take(node({INSTANCE_TYPE: "m6"}))

    assert ["m5"] == [event.pool for event in said]


def test_no_log_has_it():
    lines: list[str] = []
    log_to(lambda line, _: lines.append(line))(NodeDescribed(zone="eu-1a"))

    assert [] == lines


@pytest.mark.parametrize(("is_warm", "calls"), [(False, 1), (True, 0)])
async def test_the_label_reads_nothing_more_for_it(autojump_clock, is_warm, calls):
    """The answer to the request that sets the label has the node. A warm node with nothing to say asks nothing."""
    nodes, said = FakeNodes(labels={"topology.kubernetes.io/zone": "eu-1a"}), []
    api = NodeApi("n1", connect=nodes.connect, warn=pytest.fail, on_node=NodeDescription(said.append).take)
    label = NodeLabel(api, "web", prefix="nodeprefetch.io", emit=lambda _: None, is_warm=is_warm)
    done = partial(RunFinished, run_id="r", end=RunEnd.FINISHED, succeeded=0, failed=0, elapsed=1)
    label.emit(done(present=1))

    await label.finish()

    assert [calls, 0] == [len(nodes.times(each)) for each in ("patch", "get")]
    assert ["eu-1a"] * calls == [event.zone for event in said]
