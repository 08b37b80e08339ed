"""Pulls that give way to those of others on the same node, and then go on where they were."""

from collections.abc import Iterator

import pytest

from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.conftest import CONTAINERDS
from tests.integration.program import Start
from tests.integration.resuming import Node
from tests.support.containerd import Containerd

pytestmark = pytest.mark.containerd

MB = 1_000_000
RATE = 4 * MB
"""Bytes a second of each download that is to be interrupted."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both versions show a pull by its lease; version 2 has three downloads at once for the whole node."""
    metafunc.parametrize("containerd", CONTAINERDS, indirect=True)


@pytest.fixture
def node(containerd: Containerd, fake_registry: FakeRegistry, start: Start) -> Iterator[Node]:
    made = Node(containerd, fake_registry, start)
    yield made
    made.delete_leases()


@pytest.mark.parametrize("layers", [1, 10])
def test_a_prefetch_pauses_for_a_pods_pull_and_goes_on_without_loss(node: Node, layers: int) -> None:
    """All stand still after a part of their layers: the pod's pull until ours are paused, ours until they resume."""
    size = 10 * MB if layers == 1 else 4 * MB
    served = [node.serve(name, *[size] * layers) for name in ("a:1", "b:1", "c:1")]
    for name in ("a:1", "b:1"):
        node.fail(name, Fault.stall_after(size // 2), forever=True)
    pod, pod_image = node.serve("pod:1", 2 * MB, MB)
    node.fail("pod:1", Fault.stall_after(MB))
    program = node.start(*(name for name, _ in served), max_parallel_pulls=2)
    arrived = size // 2 - 2**20  # the rest is in containerd's buffer
    node.wait_until(lambda: min(layers, 3) <= sum(arrived <= offset < size for offset in node.ingests().values()))

    others = node.start(pod, no_resume=True)
    paused = program.wait_for("pulls paused", reason="other-pull")
    ours = {layer.digest for _, image in served for layer in image.layers}
    node.wait_until(lambda: all(one.ended for one in node.registry.requests if one.reference in ours))
    node.registry.heal()
    node.release(pod_image)
    assert 0 == others.end().code

    ended = program.end()
    assert 0 == ended.code
    assert [name for name, _ in served[:2]] == paused["images"]
    assert [1, 1, 1] == [ended.result(name)["attempts"] for name, _ in served]
    assert ended.lines("pulls resumed", images=paused["images"])
    assert [] == ended.lines("attempt failed")
    needed = sum(image.size for _, image in served) + pod_image.size
    assert needed <= node.bytes_served() <= 1.02 * needed
    assert [] == node.leases()


def test_who_does_not_want_it_does_not_yield(node: Node) -> None:
    name, image = node.serve("a:1", 8 * MB)
    node.fail("a:1", Fault.slow(RATE))
    pod, _ = node.serve("pod:1", 2 * MB)
    program = node.start(name, no_yield=True)
    node.wait_for_bytes(image, MB)

    assert 0 == node.fetch(pod, no_resume=True).code

    ended = program.end()
    assert 0 == ended.code
    assert [] == ended.lines("pulls paused")


def test_installations_do_not_yield_to_each_other(node: Node) -> None:
    name, image = node.serve("a:1", 8 * MB)
    node.fail("a:1", Fault.slow(RATE))
    other, _ = node.serve("b:1", 2 * MB)
    program = node.start(name)
    node.wait_for_bytes(image, MB)

    assert 0 == node.fetch(other, instance="another").code

    ended = program.end()
    assert 0 == ended.code
    assert [] == ended.lines("pulls paused")
