"""`--runtime-handler`: images are unpacked, and present, for the snapshotter of one runtime handler."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Start
from tests.integration.resuming import Node
from tests.support.containerd import Containerd
from tests.support.cri_server import FakeCriServer
from tests.support.daemons import containerd2_program, why_no_containerd2

_CONFIG = """
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.kata]
runtime_type = "io.containerd.runc.v2"
snapshotter = "native"
"""
_TRANSFER = "".join(
    f"""
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "{snapshotter}"
"""
    for snapshotter in ("overlayfs", "native")
)

pytestmark = pytest.mark.containerd


@pytest.fixture
def kata(short_path: Path) -> Iterator[Containerd]:
    """A containerd 2 with a runtime handler that has a snapshotter of its own."""
    if reason := why_no_containerd2():
        pytest.skip(reason)
    with Containerd(short_path, binary=containerd2_program(), extra_config=_CONFIG + _TRANSFER) as running:
        yield running


@pytest.fixture
def node(kata: Containerd, fake_registry: FakeRegistry, start: Start) -> Node:
    return Node(kata, fake_registry, start)


def present(node: Node, start: Start, name: str, handler: str) -> str:
    """What `explain` says of it."""
    arguments = ("explain", f"--cri-socket={node.containerd.socket}", f"--runtime-handler={handler}", name)
    return start(*arguments).end().stdout.splitlines()[1].split()[3]


def test_an_image_is_present_for_a_handler_once_it_is_unpacked_for_it(node: Node, start: Start) -> None:
    """It is fetched once. A pull for a handler that is interrupted resumes, with progress, like any other."""
    name, image = node.serve("app:1", 3_000_000, 20_000)

    unknown = node.fetch(name, runtime_handler="nope")
    assert (2, "--runtime-handler: 'nope' not found in containerd (known: kata, runc)") == (
        unknown.code,
        unknown.stderr.splitlines()[-1].removeprefix("nodeprefetch: "),
    )
    assert 0 == len(node.registry.requests)

    assert {name: "succeeded"} == node.fetch(name).outcomes
    assert ["yes", "no"] == [present(node, start, name, handler) for handler in ("runc", "kata")]
    assert {name: "succeeded"} == node.fetch(name, runtime_handler="kata").outcomes
    assert 1 == len(node.layer_requests(image))
    assert {name: "present"} == node.fetch(name, runtime_handler="kata").outcomes

    other, large = node.serve("other:1", 6_000_000)
    node.fail("other:1", Fault.stall_after(4_000_000))
    stopped = node.start(other, runtime_handler="kata")
    node.wait_for_bytes(large, 3_000_000)
    stopped.send(signal.SIGTERM)
    assert 143 == stopped.end().code
    node.registry.heal()
    assert {other: "succeeded"} == node.fetch(other, runtime_handler="kata").outcomes
    assert ["no", "yes"] == [present(node, start, other, handler) for handler in ("runc", "kata")]
    size = large.layers[0].size
    assert size <= sum(sent for _, sent in node.layer_requests(large)) <= 1.4 * size
    assert [] == node.leases()


def test_a_handler_that_the_transfer_service_does_not_unpack_for_is_explained(
    short_path: Path, fake_registry: FakeRegistry, start: Start
) -> None:
    if reason := why_no_containerd2():
        pytest.skip(reason)
    with Containerd(short_path, binary=containerd2_program(), extra_config=_CONFIG) as containerd:
        node = Node(containerd, fake_registry, start)
        name, _ = node.serve("app:1")

        ended = node.fetch(name, runtime_handler="kata")

    assert ("permanent", "not_unpacked") == (ended.result(name)["class"], ended.result(name)["reason"])


def test_a_runtime_that_does_not_pull_for_handlers_is_refused_before_anything_is_pulled(
    containerd1: Containerd, short_path: Path, start: Start
) -> None:
    with FakeCriServer(short_path / "crio.sock", name="cri-o", version="1.37.0") as crio:
        for socket in (containerd1.socket, crio.socket):
            ended = start("fetch", f"--cri-socket={socket}", "--runtime-handler=kata", "a:1").end()

            assert 2 == ended.code
            assert "does not pull for a runtime handler, only containerd 2.3 and newer do (remove" in ended.stderr
        assert () == crio.pulls
