"""A small disk is not filled: what does not fit is refused, the rest is pulled, and something stays free."""

import math
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from nodeprefetch.events import Event
from nodeprefetch.pull.attempt import PullContext
from nodeprefetch.pull.disk import open_disk_guard
from nodeprefetch.pull.disk_space import space_at
from nodeprefetch.pull.image import Pull
from nodeprefetch.pull.lease_progress import LeaseProgress
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.api import Inventory
from nodeprefetch.runtime.containerd import ContainerdClient
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.settings import FetchSettings, PullPolicy
from nodeprefetch.testing import FakeCredentialSource
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor
from tests.integration.keeping import Keep
from tests.integration.program import StartFetch
from tests.support.containerd import Containerd
from tests.support.daemons import containerd2_program, why_no_containerd, why_no_containerd2
from tests.support.leases import GivenLeases
from tests.support.patience import PATIENCE
from tests.support.tmpfs import mounted_tmpfs

pytestmark = pytest.mark.containerd

MB = 1_000_000
DISK, FLOOR = 100 * MB, 10 * MB


@dataclass
class SmallNode:
    """A containerd whose images have 100 MB for themselves."""

    containerd: Containerd
    root: Path
    registry: FakeRegistry

    def serve(self, name: str, size: int, *, rate: float) -> str:
        """An image that cannot be compressed: it takes twice its size. It comes at so many bytes a second."""
        whole = self.registry.add(f"{name}:1", make_image((size,), seed=f"disk {name}"))
        self.registry.fail("layer", Fault.slow(rate), image=f"{name}:1", forever=True)
        return whole

    @property
    def free(self) -> int:
        return space_at(str(self.root)).free

    def wait_for_free(self, wanted: int) -> None:
        """What a cut pull has brought is collected soon after."""
        give_up = time.monotonic() + PATIENCE
        while self.free <= wanted:
            assert time.monotonic() < give_up
            time.sleep(0.05)

    def sent_of(self, name: str) -> int:
        return sum(request.bytes_sent for request in self.registry.requests.of(stage="layer", repository=name))


@pytest.fixture(params=["containerd1", "containerd2"])
def node(request: pytest.FixtureRequest, short_path: Path, fake_registry: FakeRegistry) -> Iterator[SmallNode]:
    if reason := (why_no_containerd() or (why_no_containerd2() if request.param == "containerd2" else None)):
        pytest.skip(reason)
    binary = containerd2_program() if request.param == "containerd2" else None
    with (
        mounted_tmpfs(short_path / "root", size=DISK) as root,
        Containerd(short_path / "daemon", root=root, binary=binary) as running,
    ):
        yield SmallNode(running, root, fake_registry)


def test_on_a_disk_without_room_nothing_is_asked_of_the_registry(node: SmallNode, start_fetch: StartFetch) -> None:
    name = node.serve("never", 1 * MB, rate=50 * MB)
    (node.root / "filler").write_bytes(bytes(5 * MB))

    ended = start_fetch(node.containerd, name, min_free_disk="95%").end()

    assert 1 == ended.code
    result = ended.result(name)
    assert ("no-space", "no_space") == (result["class"], result["reason"])
    assert "95% must stay free (--min-free-disk)" in result["error"]
    assert [] == list(node.registry.requests)


def test_a_pull_that_would_fill_the_disk_is_cut_before_it_is_full(node: SmallNode, start_fetch: StartFetch) -> None:
    """The first one takes 20 MB of 100, the second would take 90."""
    small = node.serve("small", 10 * MB, rate=40 * MB)
    large = node.serve("large", 45 * MB, rate=10 * MB)

    fetch = start_fetch(node.containerd, small, large, min_free_disk="40M", image_fs_path=node.root)
    ended = fetch.end()

    assert {small: "succeeded", large: "failed"} == ended.outcomes
    assert ("no-space", "no_space") == (ended.result(large)["class"], ended.result(large)["reason"])
    assert "no space left on device" not in ended.stderr
    assert node.sent_of("large") < 45 * MB
    node.wait_for_free(40 * MB)


def test_where_sizes_are_seen_what_fits_is_pulled_and_the_rest_refused_at_once(node: SmallNode) -> None:
    """90 MB may be used; three times 35 do not fit, twice three times 10 do.

    What came within the first second is taken for what was there before, so the message has other numbers each time.
    """
    large = node.serve("large", 35 * MB, rate=4 * MB)
    small = [node.serve(name, 10 * MB, rate=4 * MB) for name in ("one", "two")]

    pulls = trio.run(pull_with_leases, node, [small[0], large, small[1]])

    assert [True, False, True] == [pull.is_present for pull in pulls]
    error = pulls[1].error
    assert error is not None
    assert ("no_space", 0) == (error.fault.reason, error.fault.retries)
    assert re.match(
        r"no space: needs about (7|8|9|10)\d\.\d MiB for the remaining download of (2|3)\d\.\d MiB: ", str(error)
    )
    assert node.sent_of("large") < 25 * MB
    assert FLOOR < node.free


def test_what_is_free_in_a_container_is_what_is_free_beside_the_images(tmp_path: Path) -> None:
    """A container's root is an overlay, and its writable layer is where the runtime keeps images."""
    with mounted_tmpfs(tmp_path / "images", size=DISK) as images:
        for name in ("lower", "upper", "work", "root"):
            (images / name).mkdir()
        layers = f"lowerdir={images}/lower,upperdir={images}/upper,workdir={images}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "none", str(images / "root")], check=True)
        try:
            (images / "upper" / "filler").write_bytes(bytes(10 * MB))
            found, expected = space_at(str(images / "root")), space_at(str(images))
        finally:
            subprocess.run(["umount", str(images / "root")], check=True)

    assert expected == found
    assert found.free < DISK - 9 * MB


async def pull_with_leases(node: SmallNode, names: list[str]) -> list[Pull]:
    """Progress, and with it sizes, are seen in leases."""
    events: list[Event] = []
    images = [ImageRef.parse(name) for name in names]
    async with open_channel(str(node.containerd.socket)) as channel, trio.open_nursery() as nursery:
        service, api = CriImageService(channel), ContainerdClient(channel)
        for image in images:
            await api.create_lease(image.path, expires_at=time.time() + 600, labels={})
        disk = await open_disk_guard(DiskFloor(size=FLOOR), None, service=service, images=names, emit=events.append)
        settings = FetchSettings(retry=RetryPolicy(initial_delay=0.2, max_delay=0.2), unpack_timeout=60)
        progress = ProgressWatch(LeaseProgress(api), events.append, settings=settings, disk=disk)
        await nursery.start(progress.run)
        nursery.start_soon(disk.run)
        context = PullContext(
            service=service,
            inventory=Inventory([]),
            credentials=FakeCredentialSource(),
            settings=settings,
            slots=trio.CapacityLimiter(math.inf),
            gate=RuntimeGate(service, events.append),
            emit=events.append,
            progress=progress,
            leases=GivenLeases(of=lambda image: image.path),
            disk=disk,
        )
        pulls = [Pull(image=image, policy=PullPolicy.ALWAYS) for image in images]
        async with trio.open_nursery() as running:
            for pull in pulls:
                running.start_soon(pull.run, context)
        nursery.cancel_scope.cancel()
    return pulls


def test_keep_pulls_what_did_not_fit_once_there_is_room(node: SmallNode, keep: Keep) -> None:
    name = node.serve("later", 1 * MB, rate=50 * MB)
    (node.root / "filler").write_bytes(bytes(5 * MB))
    running = keep(node.containerd, name, min_free_disk="95%")
    running.wait_for("run failed, retrying", error="exit code 1")

    (node.root / "filler").unlink()

    assert "no_space" == running.wait_for("image failed", image=name)["reason"]
    assert running.wait_for("image succeeded", image=name)
