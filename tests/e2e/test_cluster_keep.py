"""Nodes that keep their images, whatever goes away: images, API server, registry, a node, the aggregator's data."""

from collections.abc import Iterator
from signal import SIGKILL

import pytest

from nodeprefetch.testing.registry import Fault
from tests.e2e.asking import asking
from tests.e2e.kept import NAME, NAMESPACE, Kept, installed_keep
from tests.e2e.warmcluster import WarmCluster
from tests.support.cluster import node_address

pytestmark = [
    pytest.mark.cluster,
    # tests/integration has both versions of containerd.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]


@pytest.fixture(scope="module")
def installation(site: WarmCluster) -> Iterator[Kept]:
    with installed_keep(site) as made:
        yield made


@pytest.fixture
def kept(installation: Kept) -> Kept:
    """Every node has every image, and the registry has seen no request."""
    installation.wait_until_warm()
    installation.registry.requests.clear()
    return installation


def test_an_edited_configmap_reaches_all_nodes_and_no_pod_restarts(kept: Kept) -> None:
    """Nothing hurries the kubelets."""
    before = kept.pods()
    name = kept.serve()

    kept.edit(hurry=False)
    kept.wait_until_warm()

    assert before == kept.pods()
    assert {name.partition("/")[2].partition(":")[0]} == {
        repository for node in kept.nodes for repository in kept.repositories_asked(node_address(node))
    }


def test_an_image_returns_without_the_api_server_which_hears_of_it_when_it_is_back(kept: Kept) -> None:
    """First the registry is down, so a node says that it failed. Then the image returns while nobody can be told."""
    name = next(iter(kept.images))
    kept.registry.stop()
    try:
        kept.remove_image(3, name)
        kept.site.wait_until(lambda: kept.label(3) == "failed", "the label of the node that cannot pull")
        assert ["succeeded"] * 2 == [kept.label(node) for node in (1, 2)]
        kept.site.cluster.signal("kube-apiserver", SIGKILL)
    finally:
        kept.registry.start()
    try:
        kept.remove_image(2, name)
        kept.site.wait_until(lambda: kept.site.holds(*kept.images), "the images without the API server")
        kept.site.wait_until(lambda: "node not updated, retrying" in kept.log(3), "the end of that run")
    finally:
        kept.site.cluster.start_api_server()

    kept.wait_until_warm()
    assert set() == kept.repositories_asked(node_address(1))


def test_a_node_that_restarts_gets_what_it_missed(kept: Kept) -> None:
    before = kept.pods()

    def restarted() -> int:
        return sum(restarts > before[pod] for pod, restarts in kept.pods().items())

    kept.site.cluster.stop_node(2)
    kept.serve()
    kept.edit()
    kept.site.cluster.start_node(2)
    kept.site.wait_until(lambda: restarted() == 1, "the pod of that node again")
    kept.hurry()  # a kubelet that starts leaves what is mounted as it was, for a minute

    kept.wait_until_warm()
    assert before.keys() == kept.pods().keys()
    assert 1 == restarted()


def test_an_aggregator_that_lost_its_data_knows_everything_again(kept: Kept) -> None:
    """From reports of nodes on which nothing has changed."""
    everything = {(f"node-{node}", name, "present") for node in kept.nodes for name in kept.images}

    kept.delete_aggregator()

    kept.site.wait_until(lambda: everything == kept.reported(), "everything at the new aggregator")
    assert set() == {name for node in kept.nodes for name in kept.repositories_asked(node_address(node))}


def test_wait_follows_an_edited_configmap(kept: Kept) -> None:
    """All labels say succeeded, of the earlier list, until the kubelets have brought the new one."""
    kept.registry.fail("manifest", Fault.stall(), forever=True)
    name = kept.serve()
    kept.edit(hurry=False)
    with asking(kept.site, f"kubectl nodeprefetch wait {NAME} --namespace {NAMESPACE}") as asked:
        asked.wait_for("0 of ")
        assert {"succeeded"} == {kept.label(node) for node in kept.nodes}
        kept.hurry()
        kept.registry.heal()
        ended = asked.end()

    assert (0, True) == (ended.code, kept.site.holds(name)), ended.text


@pytest.mark.long
def test_what_the_kubelet_collects_returns_and_the_label_stays(kept: Kept) -> None:
    """It looks every five minutes, and removes what no container has used for 30 s: all images but those that run."""
    cluster, node = kept.site.cluster, 3
    failures = kept.log(node).count("value=failed")
    cluster.configure_kubelet(node, imageMaximumGCAge="30s", imageMinimumGCAge="5s")
    restart(kept, node)
    try:
        everything = set(kept.images)
        kept.site.wait_until(lambda: everything == kept.collected(node).keys(), "the collection", patience=900)
        kept.site.wait_until(lambda: min(away(kept, node).values()) > 0, "the images again")

        assert max(away(kept, node).values()) < 60
        assert failures == kept.log(node).count("value=failed")
    finally:
        cluster.configure_kubelet(node)
        restart(kept, node)


def away(kept: Kept, node: int) -> dict[str, float]:
    """Seconds from the collection of each image to its return; negative while it is away."""
    pulled = kept.pulled(node)
    return {name: (pulled[name] - at).total_seconds() for name, at in kept.collected(node).items()}


def restart(kept: Kept, node: int) -> None:
    """All its processes."""
    kept.site.cluster.stop_node(node)
    kept.site.cluster.start_node(node)
