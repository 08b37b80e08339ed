"""What every `ImageService` does: the fake, CRI against a fake server, CRI against a real containerd."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError
from nodeprefetch.testing import HANG, FakeImageService
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from nodeprefetch.testing.registry_faults import Fault
from tests.support.containerd import Containerd
from tests.support.cri_server import FakeCriServer, Refusal

NUMBERS = itertools.count()
NOT_AUTHORIZED = (
    'failed to resolve reference "x/y:1": pulling from host x failed with status code [manifests 1]: 401 Unauthorized'
)


@dataclass
class FakeStage:
    """The fake: nothing outside the process."""

    name = "fake"

    def __post_init__(self):
        self.plans = {}
        self.held = ()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ImageService]:
        service = FakeImageService(pulls=self.plans, images=self.held)
        yield service
        self.held = await service.list_images()

    def offer(self, name):
        reference, image_id = f"registry.test/{name}:1", f"sha256:{next(NUMBERS):064x}"
        self.plans[reference] = [image_id]
        return reference, image_id

    def stall(self, reference):
        self.plans[reference] = [HANG]

    def refuse(self, reference):
        self.plans[reference] = [RuntimeFaultError.from_status("UNKNOWN", NOT_AUTHORIZED, image=reference)]


@dataclass
class FakeServerStage:
    """Our CRI client against a gRPC server with a script."""

    server: FakeCriServer
    name = "containerd"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ImageService]:
        async with open_channel(str(self.server.socket)) as channel:
            yield CriImageService(channel)

    def offer(self, name):
        reference, image_id = f"registry.test/{name}:1", f"sha256:{next(NUMBERS):064x}"
        self.server.plan(reference, image_id)
        return reference, image_id

    def stall(self, reference):
        self.server.plan(reference, HANG)

    def refuse(self, reference):
        self.server.plan(reference, Refusal("UNKNOWN", NOT_AUTHORIZED))


@dataclass
class ContainerdStage:
    """Our CRI client against a real containerd, which pulls from a registry with faults."""

    containerd: Containerd
    registry: FakeRegistry
    name = "containerd"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ImageService]:
        async with open_channel(str(self.containerd.socket)) as channel:
            yield CriImageService(channel)

    def offer(self, name):
        image = make_image([2048], seed=f"{name} {next(NUMBERS)}")
        self.registry.add(f"{name}:1", image)
        return f"{self.registry.address}/{name}:1", image.id

    def stall(self, reference):
        self.registry.fail("manifest", Fault.stall(), image=reference.partition("/")[2], forever=True)

    def refuse(self, reference):
        self.registry.fail("manifest", Fault.status(401), image=reference.partition("/")[2], forever=True)


REAL = [pytest.param(name, marks=pytest.mark.containerd) for name in ("containerd1", "containerd2")]


@pytest.fixture(params=["fake", "fake CRI server", *REAL])
def stage(request) -> Iterator[FakeStage | FakeServerStage | ContainerdStage]:
    if request.param == "fake":
        yield FakeStage()
    elif request.param == "fake CRI server":
        with FakeCriServer(request.getfixturevalue("short_path") / "cri.sock") as server:
            yield FakeServerStage(server)
    else:
        yield ContainerdStage(request.getfixturevalue(request.param), request.getfixturevalue("fake_registry"))


async def test_it_says_who_it_is(stage):
    async with stage.open() as service:
        version = await service.version()

    assert (stage.name, True) == (version.name, bool(version.version))


async def test_a_pull_brings_the_image_and_says_its_id(stage):
    reference, image_id = stage.offer("pulled")

    async with stage.open() as service:
        pulled = await service.pull_image(reference)
        held = await service.list_images()

    assert image_id == pulled
    assert [True] == [reference in record.repo_tags for record in held if record.id == image_id]


async def test_a_pulled_image_has_a_size_and_a_digest(stage):
    reference, _ = stage.offer("measured")

    async with stage.open() as service:
        await service.pull_image(reference)
        record = await service.image_status(reference)

    assert record.size > 0
    assert record.repo_digests[0].startswith(reference.removesuffix(":1") + "@sha256:")
    assert not record.pinned


async def test_an_image_is_known_by_name_digest_and_id(stage):
    reference, image_id = stage.offer("known")

    async with stage.open() as service:
        await service.pull_image(reference)
        by_name = await service.image_status(reference)

        assert by_name == await service.image_status(by_name.repo_digests[0])
        assert by_name == await service.image_status(image_id)


@pytest.mark.parametrize("name", ["registry.test/never-heard-of:1", "NOT A NAME"])
async def test_an_unknown_image_has_no_status(stage, name):
    async with stage.open() as service:
        assert await service.image_status(name) is None


async def test_pulling_again_says_the_same_id(stage):
    reference, image_id = stage.offer("again")

    async with stage.open() as service:
        assert [image_id] * 2 == [await service.pull_image(reference), await service.pull_image(reference)]


async def test_a_tag_that_moves_leaves_the_image_it_stood_for(stage):
    reference, older = stage.offer("moved")

    async with stage.open() as service:
        await service.pull_image(reference)
        before = await service.image_status(reference)
    _, newer = stage.offer("moved")
    async with stage.open() as service:
        await service.pull_image(reference)
        after = await service.image_status(reference)
        held = {record.id: record for record in await service.list_images()}

    assert [older, newer] == [before.id, after.id]
    assert set(before.repo_digests).isdisjoint(after.repo_digests)
    assert [(), (reference,)] == [held[older].repo_tags, held[newer].repo_tags]
    assert before.repo_digests == held[older].repo_digests


async def test_a_removed_image_is_gone_and_removing_it_again_is_no_error(stage):
    reference, _ = stage.offer("removed")

    async with stage.open() as service:
        await service.pull_image(reference)
        await service.remove_image(reference)
        await service.remove_image(reference)

        assert await service.image_status(reference) is None


async def test_the_file_system_of_images_is_named(stage):
    async with stage.open() as service:
        (filesystem,) = await service.image_fs_info()

    assert filesystem.mountpoint.startswith("/")


async def test_an_image_that_does_not_exist_is_missing(stage):
    reference = stage.offer("neighbour")[0].replace("neighbour", "missing")

    async with stage.open() as service:
        with pytest.raises(RuntimeFaultError) as caught:
            await service.pull_image(reference)

    assert (FaultClass.PERMANENT, True) == (caught.value.fault.kind, caught.value.fault.missing)


async def test_a_name_that_is_none_is_a_permanent_fault(stage):
    async with stage.open() as service:
        with pytest.raises(RuntimeFaultError) as caught:
            await service.pull_image("registry.test/UPPER:1")

    assert (FaultClass.PERMANENT, "bad_name") == (caught.value.fault.kind, caught.value.fault.reason)


async def test_a_login_that_is_refused_is_a_fault_of_the_credential(stage):
    reference, _ = stage.offer("private")
    stage.refuse(reference)

    async with stage.open() as service:
        with pytest.raises(RuntimeFaultError) as caught:
            await service.pull_image(reference)

    assert FaultClass.REFUSED is caught.value.fault.kind


async def test_a_stalled_pull_can_be_cut_and_the_service_goes_on(stage):
    reference, _ = stage.offer("stalled")
    stage.stall(reference)

    async with stage.open() as service:
        with trio.move_on_after(0.5) as scope:
            await service.pull_image(reference)

        assert scope.cancelled_caught
        assert await service.image_status(reference) is None


async def test_many_images_are_pulled_at_once(stage):
    offers = [stage.offer(f"many{number}") for number in range(10)]
    got = {}

    async with stage.open() as service, trio.open_nursery() as nursery:

        async def pull(reference):
            got[reference] = await service.pull_image(reference)

        for reference, _ in offers:
            nursery.start_soon(pull, reference)

    assert dict(offers) == got


async def test_nothing_but_our_errors_comes_from_a_runtime_that_is_not_there(stage, short_path):
    async with open_channel(str(short_path / "nobody.sock")) as channel:
        for call in (CriImageService(channel).version(), CriImageService(channel).pull_image("a:1")):
            with pytest.raises(NodeprefetchError) as caught:
                await call
            assert FaultClass.RUNTIME_GONE is caught.value.fault.kind
