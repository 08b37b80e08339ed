"""A pod that starts on a node while a list is prefetched there: its pull comes first, and no byte is lost by it."""

from collections.abc import Iterator

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import Fault
from nodeprefetch.testing.registry_log import Request
from tests.e2e.warmcluster import WarmCluster
from tests.support.cluster_registry import NodesRegistry
from tests.support.pause_image import COMMAND, make_pause_image

pytestmark = pytest.mark.cluster

COUNT = 40
SIZE = 300_000
RATE = 20_000
"""Bytes a second of each download before the registry is healed: no prefetch is done before it."""

NODE = 2
"""With the pod."""

POD_REPOSITORY = "first/pod"


@pytest.fixture
def registry(site: WarmCluster) -> Iterator[NodesRegistry]:
    with NodesRegistry(site.cluster, "first.example.com") as running:
        yield running


def test_a_pod_that_starts_during_a_prefetch_gets_its_image_first(site: WarmCluster, registry: NodesRegistry) -> None:
    images = {f"first/image{number}:1": make_image([SIZE], seed=f"first {number}") for number in range(COUNT)}
    pod_image = make_pause_image(SIZE, seed="first")
    for name, image in (*images.items(), (f"{POD_REPOSITORY}:1", pod_image)):
        registry.add(name, image)
    registry.fail("layer", Fault.slow(RATE), forever=True)
    names = [registry.name(name) for name in images]
    site.start_change(*names)
    site.wait_until(lambda: bool(registry.layers(NODE)), "the prefetch's first download")
    (fetcher,) = (pod for pod in site.pods() if pod["spec"]["nodeName"] == f"node-{NODE}")

    site.run_pod("first", image=registry.name(f"{POD_REPOSITORY}:1"), command=COMMAND, node=NODE)
    try:
        site.wait_until(lambda: "pulls paused" in site.log(fetcher["metadata"]["name"]), "the pause")
        before = registry.layers(NODE, without=POD_REPOSITORY)
        registry.heal()
        site.kubectl.run("wait", "--for=condition=Ready", "pod/first", "--timeout=5m")
    finally:
        registry.heal()
        site.kubectl.run("delete", "pod", "first", "--wait=false")
    site.wait_for_rollout()

    log = site.log(fetcher["metadata"]["name"])
    assert 'msg="pulls paused" reason=other-pull' in log
    assert f"succeeded={COUNT} present=0 failed=0" in log
    assert "attempt failed" not in log
    pod_done = max(ended(request) for request in registry.layers(NODE) if request.repository == POD_REPOSITORY)
    after = registry.layers(NODE, without=POD_REPOSITORY)[len(before) :]
    assert min(request.started for request in after) > pod_done
    assert {"succeeded"} == site.labels
    assert site.holds(*names)
    needed = sum(image.size for image in images.values()) + pod_image.size
    assert needed <= registry.bytes_to(NODE) <= 1.05 * needed


def ended(request: Request) -> float:
    assert request.ended is not None
    return request.ended
