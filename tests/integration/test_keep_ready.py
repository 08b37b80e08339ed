"""The port of `keep` for readiness probes, with a real runtime and registry."""

import errno
import socket

import pytest

from nodeprefetch.testing.registry import FakeRegistry
from tests.conftest import CONTAINERDS
from tests.integration.keeping import Keep, remove, serve
from tests.integration.program import Start
from tests.support.containerd import Containerd
from tests.support.patience import eventually
from tests.support.ports import free_port

pytestmark = pytest.mark.containerd


@pytest.fixture
def address() -> str:
    """On loopback, where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def is_ready(address: str) -> bool:
    """Whether a connection is accepted; otherwise it is refused at once."""
    host, _, port = address.partition(":")
    with socket.socket() as connection:
        result = connection.connect_ex((host, int(port)))
    assert result in {0, errno.ECONNREFUSED}
    return not result


@pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)
def test_a_node_is_ready_until_an_image_is_gone_that_it_cannot_get_back(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, address: str
) -> None:
    """A registry that is down leaves it ready as long as nothing is missing."""
    moving, _ = serve(fake_registry, containerd, "ready/moving:latest")
    fixed, _ = serve(fake_registry, containerd, "ready/fixed:1")
    running = keep(containerd, moving, fixed, ready_address=address, refresh_every="2s", overall_timeout="5s")
    assert eventually(lambda: is_ready(address))

    fake_registry.stop()
    running.wait_for("image present", image=moving, level="WARN")
    assert is_ready(address)
    remove(containerd, fixed)
    assert eventually(lambda: not is_ready(address))
    fake_registry.start()

    assert eventually(lambda: is_ready(address))


def test_with_allow_failures_it_is_ready_after_the_first_run_and_goes_on_trying(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, address: str
) -> None:
    there, _ = serve(fake_registry, containerd, "ready/there:1")
    missing = f"{fake_registry.address}/ready/missing:1"
    running = keep(containerd, there, missing, ready_address=address, allow_failures=True)

    assert eventually(lambda: is_ready(address))
    running.wait_for("run failed, retrying", error="images are missing, --allow-failures allows it")
    serve(fake_registry, containerd, "ready/missing:1")

    running.wait_for("image succeeded", image=missing)


def test_an_address_in_use_ends_it_at_once(start: Start, address: str) -> None:
    host, _, port = address.partition(":")
    with socket.socket() as other:
        other.bind((host, int(port)))

        ended = start("keep", "a:1", f"--ready-address={address}", "--check-every=x").end()

    assert 2 == ended.code
    assert f"--ready-address: cannot listen on {address}: Address already in use" in ended.stderr
    assert "--check-every: " in ended.stderr
