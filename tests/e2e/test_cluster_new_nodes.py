"""New nodes on a real cluster: they take work once their images are there, or when waiting is over."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.e2e.conftest import MEMORY, need
from tests.e2e.gatednodes import LOST, MISSING, RULED, WEB, GatedNodes
from tests.e2e.warmcluster import IMAGES, WarmCluster
from tests.support.cluster import Cluster
from tests.support.cluster_programs import why_no_cluster

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def gated(our_image: Path) -> Iterator[GatedNodes]:
    """A cluster of its own, as its nodes are closed for pods of others: with one node that has no fetch pods."""
    need(why_no_cluster())
    with (
        tempfile.TemporaryDirectory(prefix="npf-", dir=MEMORY) as directory,
        tempfile.TemporaryDirectory(prefix="npf-") as typed,
        Cluster(Path(directory)) as cluster,
    ):
        made = GatedNodes(WarmCluster(cluster, Path(typed)))
        made.site.push_images(our_image)
        made.install()
        yield made


@pytest.fixture(scope="module")
def node(gated: GatedNodes) -> int:
    """A node that was closed for `web`, and is open; tests close it again. `ruled` reports its condition beside."""
    with gated.site.stalled_registry():
        number = gated.join(WEB, beside=RULED)
        gated.run_pod("first", number)
        gated.wait_for_condition(WEB, number, "False")
        gated.site.wait_until(lambda: gated.is_kept_away("first"), "the scheduler keeps the pod away")
        assert {"example.com/web"} == gated.taints(number)
        assert "Pulling" == gated.condition(WEB, number)["reason"]
    gated.wait_until_open(number, WEB, RULED)
    return number


def test_a_pod_waits_for_the_images_of_a_new_node(gated: GatedNodes, node: int) -> None:
    """It starts from what was prefetched: the kubelet pulls nothing."""
    gated.kubectl.run("wait", "--for=condition=Ready", "pod/first", "--namespace=default", "--timeout=5m")

    pod = gated.kubectl.get("pod", "first", "default")
    events = gated.kubectl.items("events", namespace="default")
    pulled = [
        each["message"] for each in events if (each["reason"], each["involvedObject"]["name"]) == ("Pulled", "first")
    ]
    condition = gated.condition(WEB, node)
    assert f"node-{node}" == pod["spec"]["nodeName"]
    assert [True] == ["already present on machine" in text for text in pulled]
    assert ("True", "ImagesPresent") == (condition["status"], condition["reason"])
    assert condition["lastTransitionTime"] <= pod["status"]["startTime"]
    assert "succeeded" == gated.label(WEB, node)
    assert set(IMAGES) <= gated.site.images(node)
    assert 1 == gated.events(WEB, "ImagesPrefetched", node)


def test_a_pod_that_is_deleted_while_the_node_is_closed_has_a_successor(gated: GatedNodes, node: int) -> None:
    with gated.site.stalled_registry():
        gated.close(node, IMAGES[1])
        gated.replace_pod(WEB, node)
        assert {"example.com/web"} == gated.taints(node)

    gated.wait_until_open(node, WEB, RULED)


def test_a_node_that_restarts_opens_and_stays_open(gated: GatedNodes, node: int) -> None:
    """Closed, it goes on where it was; open, the taint of its registration does not come back."""
    with gated.site.stalled_registry():
        gated.close(node, IMAGES[1])
        gated.site.cluster.stop_node(node)
    gated.site.cluster.start_node(node)
    gated.wait_until_open(node, WEB, RULED)

    gated.site.cluster.stop_node(node)
    gated.site.cluster.start_node(node)
    gated.kubectl.run("wait", "--for=condition=Ready", f"node/node-{node}", "--timeout=5m")
    gated.run_pod("restarted", node)
    gated.kubectl.run("wait", "--for=condition=Ready", "pod/restarted", "--namespace=default", "--timeout=5m")

    assert set() == gated.taints(node)


def test_a_node_opens_when_the_api_server_is_back(gated: GatedNodes, node: int) -> None:
    """It is gone from before the images are there until runs have given up reporting: others do it."""
    with gated.site.stalled_registry():
        gated.close(node, IMAGES[1])
        gated.site.cluster.signal("kube-apiserver", SIGKILL)
    try:
        gated.site.wait_until(lambda: IMAGES[1] in gated.site.images(node), "the image on the node")
        for name in (WEB, RULED):
            gated.wait_until_said(name, node, "no time left")
    finally:
        gated.site.cluster.start_api_server()

    gated.wait_until_open(node, WEB, RULED)
    assert ["succeeded", "succeeded"] == [gated.label(name, node) for name in (WEB, RULED)]


@pytest.fixture(scope="module")
def given_up(gated: GatedNodes) -> int:
    """A node that joined closed for `web` and `lost`: the images of the first came later than the second gave up."""
    with gated.site.stalled_registry():
        number = gated.join(WEB, LOST)
        gated.run_pod("both", number)
        gated.site.wait_until(lambda: {"example.com/web"} == gated.taints(number), "the taint of lost is removed")
        gated.site.wait_until(lambda: gated.is_kept_away("both"), "the scheduler keeps the pod away")
    return number


def test_a_node_opens_with_its_last_taint(gated: GatedNodes, given_up: int) -> None:
    gated.wait_until_open(given_up)
    gated.kubectl.run("wait", "--for=condition=Ready", "pod/both", "--namespace=default", "--timeout=5m")

    assert f"node-{given_up}" == gated.kubectl.get("pod", "both", "default")["spec"]["nodeName"]


def test_a_node_that_opened_without_its_images_says_so_everywhere(gated: GatedNodes, given_up: int) -> None:
    gated.wait_for_condition(LOST, given_up, "True")

    condition = gated.condition(LOST, given_up)
    assert "GaveUp" == condition["reason"]
    assert MISSING in condition["message"]
    assert "failed" == gated.label(LOST, given_up)
    assert gated.has_said(LOST, given_up, "gate opened without all images")
    assert 1 == gated.events(LOST, "ImagePrefetchGaveUp", given_up)
    gave_up = f'nodeprefetch_nodes_gave_up{{instance="{LOST}"}} 1'
    gated.site.wait_until(lambda: gave_up in gated.metrics(LOST), "the metric")


def test_the_readiness_controller_opens_a_node_by_the_rule(gated: GatedNodes) -> None:
    """The fetch pods change no taint."""
    with gated.readiness_controller():
        with gated.site.stalled_registry():
            number = gated.join(RULED)
            gated.run_pod("ruled", number)
            gated.wait_for_condition(RULED, number, "False")
            gated.site.wait_until(lambda: gated.is_kept_away("ruled"), "the scheduler keeps the pod away")
        gated.kubectl.run("wait", "--for=condition=Ready", "pod/ruled", "--namespace=default", "--timeout=5m")

    node = gated.kubectl.get("node", f"node-{number}")
    assert set() == gated.taints(number)
    assert "true" == node["metadata"]["annotations"]["readiness.k8s.io/bootstrap-completed-nodeprefetch-ruled"]
    assert ("True", "ImagesPresent") == tuple(gated.condition(RULED, number)[key] for key in ("status", "reason"))
