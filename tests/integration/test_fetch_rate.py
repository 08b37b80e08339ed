"""A limited download rate, through real containerds."""

from collections.abc import Iterator

import pytest

from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.conftest import CONTAINERDS
from tests.integration.program import Start
from tests.integration.resuming import Node
from tests.support.containerd import Containerd

pytestmark = pytest.mark.containerd

MB = 1_000_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both versions show downloads and keep a pull's bytes."""
    metafunc.parametrize("containerd", CONTAINERDS, indirect=True)


@pytest.fixture
def node(containerd: Containerd, fake_registry: FakeRegistry, start: Start) -> Iterator[Node]:
    made = Node(containerd, fake_registry, start)
    yield made
    made.delete_leases()


def test_what_a_period_may_bring_is_not_exceeded_and_nothing_comes_twice(node: Node) -> None:
    """72 MB over a line of 12 MB/s: ten seconds may bring 40 MB, so the rest has to wait for the next ten."""
    name, image = node.serve("a:1", *[24 * MB] * 3)
    node.fail("a:1", Fault.slow(4 * MB), forever=True)

    ended = node.fetch(name, max_download_rate="4M")

    assert 0 == ended.code
    assert 1 == ended.result(name)["attempts"]
    assert [[name]] == [line["images"] for line in ended.lines("pulls paused", reason="download-rate")]
    assert image.size <= node.bytes_served() <= 1.05 * image.size
    assert ended.summary["elapsed"] >= 10
    assert [] == node.leases()
