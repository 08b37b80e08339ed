"""What goes wrong on real clusters while nodes are being warmed: API server, aggregator, node."""

from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGKILL

import pytest

from tests.e2e.warmcluster import AGGREGATOR, IMAGES, INSTANCE, NAMESPACE, WarmCluster, restarts

pytestmark = pytest.mark.cluster


@contextmanager
def long_grace(site: WarmCluster) -> Iterator[None]:
    """Runs have as long to report as a busy machine needs to start an API server."""
    variable = "NODEPREFETCH_REPORT_GRACE"
    command = ("set", "env", f"daemonset/{INSTANCE}", f"--namespace={NAMESPACE}", "--containers=prefetch")
    site.kubectl.run(*command, f"{variable}=4m")
    site.wait_for_rollout()
    try:
        yield
    finally:
        site.kubectl.run(*command, f"{variable}-")
        site.wait_for_rollout()


def test_the_label_comes_when_the_api_server_is_back(site: WarmCluster) -> None:
    """It is gone from before the runs end until after: within their grace, and no pod is started again for it."""
    image = "registry.example.com/team/hidden:1"
    site.push("team/hidden:1")

    with long_grace(site):
        with site.stalled_registry():
            site.start_change(*IMAGES, image)
            site.wait_for_pulls(image)
            site.cluster.signal("kube-apiserver", SIGKILL)
        try:
            site.wait_until(lambda: site.has_ended_everywhere(image), "the end of every run")
        finally:
            site.cluster.start_api_server()

        site.wait_for_rollout()
        assert {"succeeded"} == site.labels
        assert 0 == restarts(site.pods())


def test_the_aggregator_is_replaced_in_mid_run(site: WarmCluster) -> None:
    """What happens after that arrives all the same."""
    image = "registry.example.com/team/replaced:1"
    site.push("team/replaced:1")

    with site.stalled_registry():
        site.start_change(*IMAGES, image)
        site.wait_for_pulls(image)
        site.kubectl.run("delete", "pod", f"--selector={AGGREGATOR}", f"--namespace={NAMESPACE}")
    site.wait_for_rollout()
    site.wait_for_aggregator()

    site.wait_until(lambda: ["succeeded"] * len(site.nodes) == site.states(image), "the results at the new one")
    assert {"succeeded"} == site.labels


def test_a_node_restarts_in_mid_pull(site: WarmCluster) -> None:
    """Its pod is started again and ends the work; the others never noticed."""
    image = "registry.example.com/team/restarted:1"
    site.push("team/restarted:1")

    with site.stalled_registry():
        site.start_change(*IMAGES, image)
        before = site.wait_for_pulls(image)
        site.cluster.stop_node(2)
    site.cluster.start_node(2)
    site.wait_until(lambda: image in site.images(2), "the image on the node")
    site.wait_for_rollout()

    after = site.pods()
    assert {"succeeded"} == site.labels
    assert {pod["metadata"]["uid"] for pod in before} == {pod["metadata"]["uid"] for pod in after}
    assert [("node-2", True)] == [(pod["spec"]["nodeName"], True) for pod in after if restarts([pod])]


def test_the_runtime_restarts_in_mid_pull(site: WarmCluster) -> None:
    """Containers outlive containerd, and ours waits for it: the same run ends the work."""
    image = "registry.example.com/team/resumed:1"
    site.push("team/resumed:1")

    with site.stalled_registry():
        site.start_change(*IMAGES, image)
        site.wait_for_pulls(image)
        site.cluster.restart_runtime(3)
    site.wait_for_rollout()

    assert {"succeeded"} == site.labels
    assert 0 == restarts(site.pods())
    assert site.holds(image)
