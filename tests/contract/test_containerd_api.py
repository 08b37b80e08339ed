"""What every `ContainerdApi` does: the fake, and the API of both versions of containerd, which pull for it."""

import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.api import ContainerdApi, ResourceKind
from nodeprefetch.runtime.containerd import ContainerdClient, find_containerd_api
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError
from nodeprefetch.testing import FakeContainerdApi
from nodeprefetch.testing.images import Image, Index, make_image, make_index
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.support.containerd import Containerd

MIB = 1 << 20
NUMBERS = itertools.count()
PINNED, PINNED_BY = "io.cri-containerd.pinned", "nodeprefetch.io/pinned-by"


def fresh(*sizes: int) -> tuple[str, Image]:
    """A name and an image that nobody has pulled."""
    number = next(NUMBERS)
    return f"api/{number}:1", make_image(sizes or (2048,), seed=f"api {number}")


@dataclass
class FakeStage:
    """The fake, and a pull played on it."""

    api: FakeContainerdApi = field(default_factory=lambda: FakeContainerdApi(wall=time.time))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ContainerdApi]:
        yield self.api

    async def pull(self, name: str, image: Image | Index, lease: str = "") -> list[str]:
        blobs = (*image.manifests, *image.blobs)
        for blob in blobs:
            self.api.begin(blob.digest, total=blob.size, lease=lease)
            self.api.commit(blob.digest, blob.data)
        self.api.unpacked |= {one.id: {"overlayfs"} for one in image.images}
        names = [f"registry.test/{name}", f"registry.test/{name.removesuffix(':1')}@{image.digest}", image.images[0].id]
        for one in names:
            self.api.record(
                one,
                image.digest,
                labels={"io.cri-containerd.image": "managed"},
                blobs=[blob.digest for blob in blobs],
            )
        return names

    async def pull_partly(self, name: str, image: Image, lease: str) -> None:
        for blob in (image.manifest, image.config):
            self.api.begin(blob.digest, total=blob.size, lease=lease)
            self.api.commit(blob.digest, blob.data)
        (layer,) = image.layers
        self.api.begin(layer.digest, total=layer.size, lease=lease)
        self.api.write(layer.digest, layer.size // 2)

    async def remove(self, names: list[str]) -> None:
        for name in names:
            self.api.forget(name)


@dataclass
class RealStage:
    """A real containerd, which pulls from a registry with faults."""

    containerd: Containerd
    registry: FakeRegistry

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ContainerdApi]:
        async with open_channel(str(self.containerd.socket)) as channel:
            self.service = CriImageService(channel)
            yield ContainerdClient(channel)

    async def pull(self, name: str, image: Image | Index, lease: str = "") -> list[str]:
        whole = self.registry.add(name, image)
        await self.service.pull_image(whole, lease=lease)
        return [whole, f"{whole.removesuffix(':1')}@{image.digest}", image.images[0].id]

    async def pull_partly(self, name: str, image: Image, lease: str) -> None:
        """Half of its layer arrives, then the pull is cut."""
        whole = self.registry.add(name, image)
        self.registry.fail("layer", Fault.stall_after(image.layers[0].size // 2), image=name)
        async with trio.open_nursery() as nursery, open_channel(str(self.containerd.socket)) as watching:
            nursery.start_soon(lambda: self.service.pull_image(whole, lease=lease))
            ref = f"layer-{image.layers[0].digest}"
            api = ContainerdClient(watching)
            while not any(one.offset for one in await api.ingests() if one.ref == ref):  # noqa: ASYNC110 - it tells nobody
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()

    async def remove(self, names: list[str]) -> None:
        await self.service.remove_image(names[0])


REAL = [pytest.param(name, marks=pytest.mark.containerd) for name in ("containerd1", "containerd2")]
Stage = FakeStage | RealStage


@pytest.fixture(params=["fake", *REAL])
def stage(request) -> Iterator[Stage]:
    if request.param == "fake":
        yield FakeStage()
    else:
        yield RealStage(request.getfixturevalue(request.param), request.getfixturevalue("fake_registry"))


@pytest.fixture
def lease() -> str:
    """An ID that no other test has."""
    return f"lease-{next(NUMBERS)}"


def soon() -> float:
    return time.time() + 600


async def held(api: ContainerdApi, lease: str) -> set[tuple[ResourceKind, str]]:
    resources = await api.lease_resources(lease)
    return {(one.kind, one.id) for one in resources}


async def test_a_lease_is_made_listed_and_deleted(stage, lease):
    end = 1_900_000_000.25

    async with stage.open() as api:
        before = time.time()
        assert await api.create_lease(lease, expires_at=end, labels={"nodeprefetch.io/instance": "a.b_c"})
        (listed,) = [one for one in await api.leases() if one.id == lease]
        assert await api.delete_lease(lease)

        assert ({"nodeprefetch.io/instance": "a.b_c"}, end) == (listed.labels, listed.expires_at)
        assert before - 1 <= listed.created_at <= time.time()
        assert lease not in [one.id for one in await api.leases()]


async def test_a_lease_is_made_once_and_deleted_once(stage, lease):
    async with stage.open() as api:
        assert [True, False] == [await api.create_lease(lease, expires_at=soon(), labels={}) for _ in range(2)]
        assert [True, False] == [await api.delete_lease(lease) for _ in range(2)]


async def test_a_new_lease_holds_nothing_and_an_unknown_one_is_none(stage, lease):
    async with stage.open() as api:
        assert await api.lease_resources(lease) is None
        await api.create_lease(lease, expires_at=soon(), labels={})

        assert () == await api.lease_resources(lease)


async def test_a_lease_holds_all_that_its_pull_brought(stage, lease):
    name, image = fresh(2048, 4096)

    async with stage.open() as api:
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.pull(name, image, lease)

        blobs = {(ResourceKind.CONTENT, blob.digest) for blob in (image.manifest, *image.blobs)}
        assert blobs == {one for one in await held(api, lease) if one[0] is not ResourceKind.SNAPSHOT}


async def test_a_pulled_image_stays_without_its_lease(stage, lease):
    name, image = fresh()

    async with stage.open() as api:
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.pull(name, image, lease)
        await api.delete_lease(lease)

        assert image.layers[0].size == await api.blob_size(image.layers[0].digest)


async def test_a_removed_image_s_blobs_stay_as_long_as_a_lease_holds_them(stage, lease):
    name, image = fresh()

    async with stage.open() as api:
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.remove(await stage.pull(name, image, lease))
        assert image.layers[0].size == await api.blob_size(image.layers[0].digest)
        await api.delete_lease(lease)

        assert await api.blob_size(image.layers[0].digest) is None


async def test_a_cut_pull_s_bytes_stay_as_long_as_its_lease(stage, lease):
    name, image = fresh(4 * MIB)
    ref = f"layer-{image.layers[0].digest}"

    async with stage.open() as api:
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.pull_partly(name, image, lease)
        (ingest,) = [one for one in await api.ingests() if one.ref == ref]

        assert 0 < ingest.offset < ingest.total == image.layers[0].size
        assert (ResourceKind.INGEST, ref) in await held(api, lease)
        assert (ResourceKind.CONTENT, image.digest) in await held(api, lease)
        assert [image.config.size, None] == [
            await api.blob_size(digest) for digest in (image.config.digest, image.layers[0].digest)
        ]

        await api.delete_lease(lease)
        assert ref not in [one.ref for one in await api.ingests()]
        assert await api.blob_size(image.config.digest) is None


async def test_what_arrives_can_be_dropped_though_a_lease_holds_it(stage, lease):
    name, image = fresh(4 * MIB)
    ref = f"layer-{image.layers[0].digest}"

    async with stage.open() as api:
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.pull_partly(name, image, lease)

        assert [True, False] == [await api.abort_ingest(ref) for _ in range(2)]
        assert ref not in [one.ref for one in await api.ingests()]
        assert image.config.size == await api.blob_size(image.config.digest)
        assert await api.delete_lease(lease)


async def test_a_lease_that_has_expired_goes_when_something_is_collected(stage, lease):
    name, image = fresh(4 * MIB)
    other = f"{lease}-other"

    async with stage.open() as api:
        end = time.time() + 1
        await api.create_lease(lease, expires_at=end, labels={})
        await stage.pull_partly(name, image, lease)
        await trio.sleep(max(0, end - time.time()) + 0.1)
        await api.create_lease(other, expires_at=soon(), labels={})
        await api.delete_lease(other)

        assert await api.lease_resources(lease) is None
        assert f"layer-{image.layers[0].digest}" not in [one.ref for one in await api.ingests()]


async def test_a_manifest_can_be_read(stage):
    name, image = fresh()

    async with stage.open() as api:
        await stage.pull(name, image)

        assert json.loads(image.manifest.data) == json.loads(await api.read_blob(image.digest, most=MIB))
        assert image.manifest.data == await api.read_blob(image.digest, most=image.manifest.size)


async def test_a_blob_that_is_larger_than_wanted_is_not_read(stage):
    name, image = fresh(3 * MIB)

    async with stage.open() as api:
        await stage.pull(name, image)

        assert await api.read_blob(image.layers[0].digest, most=image.layers[0].size - 1) is None
        assert await api.read_blob(image.digest, most=MIB)  # the call that was left harms no other


async def test_a_blob_that_is_not_there_has_no_size_and_no_content(stage):
    digest = "sha256:" + "0" * 64

    async with stage.open() as api:
        assert await api.blob_size(digest) is None
        assert await api.read_blob(digest, most=100) is None


async def test_a_config_says_for_which_snapshotters_its_image_was_unpacked(stage, lease):
    name, image = fresh()
    other, partial = fresh(4 * MIB)

    async with stage.open() as api:
        await stage.pull(name, image)
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.pull_partly(other, partial, lease)

        assert {"overlayfs"} == await api.snapshotters(image.config.digest)
        assert frozenset() == await api.snapshotters(partial.config.digest)
        assert await api.snapshotters("sha256:" + "0" * 64) is None
        assert await api.delete_lease(lease)


async def test_an_image_has_three_records(stage):
    name, image = fresh()

    async with stage.open() as api:
        names = await stage.pull(name, image)
        records = [one for one in await api.image_names() if one.digest == image.digest]

    assert sorted(names) == sorted(record.name for record in records)
    assert [{"io.cri-containerd.image": "managed"}] * 3 == [record.labels for record in records]


@pytest.mark.parametrize("key", [PINNED, PINNED_BY, "a", "nodeprefetch.io/a.b/c_d-e", "UPPER.Case/x"])
async def test_a_label_comes_and_goes_and_others_stay(stage, key):
    name, image = fresh()

    async with stage.open() as api:
        await stage.pull(name, image)

        async def labels():
            (record,) = [one for one in await api.image_names() if one.name == image.id]
            return {label: value for label, value in record.labels.items() if label != "io.cri-containerd.image"}

        assert await api.label_image(image.id, {"other": "stays", key: "a=b,c.d"})
        assert {"other": "stays", key: "a=b,c.d"} == await labels()
        assert await api.label_image(image.id, {key: "new", "never-there": None})
        assert {"other": "stays", key: "new"} == await labels()
        assert await api.label_image(image.id, {key: None})
        assert {"other": "stays"} == await labels()
        assert await api.label_image(image.id, {"other": ""})
        assert {} == await labels()


async def test_a_label_of_one_record_is_none_of_the_others(stage):
    name, image = fresh()

    async with stage.open() as api:
        names = await stage.pull(name, image)
        await api.label_image(names[1], {PINNED_BY: "us"})

        assert [names[1]] == [one.name for one in await api.image_names() if one.labels.get(PINNED_BY) == "us"]


async def test_labelling_changes_nothing_else(stage):
    name, image = fresh()

    async with stage.open() as api:
        await stage.pull(name, image)
        await api.label_image(image.id, {PINNED_BY: "us"})
        await api.label_image(image.id, {})
        await api.label_image(image.id, {PINNED_BY: None})

        (record,) = [one for one in await api.image_names() if one.name == image.id]
        assert (image.digest, {"io.cri-containerd.image": "managed"}) == (record.digest, record.labels)


async def test_a_name_has_the_digest_that_it_was_last_pulled_with(stage):
    """Though the image is the same, and the runtime lists both digests of it."""
    name, image = fresh()
    index = make_index([image])

    async with stage.open() as api:
        first, *_ = await stage.pull(name, image)
        assert image.digest == await api.image_digest(first)

        await stage.pull(name, index)

        assert index.digest == await api.image_digest(first)
        assert await api.image_digest("registry.test/nobody-knows:1") is None


async def test_an_unknown_image_has_no_labels(stage):
    async with stage.open() as api:
        assert [False, False] == [await api.label_image("none", labels) for labels in ({PINNED: "pinned"}, {})]


@pytest.mark.containerd
@pytest.mark.parametrize("digest", ["no digest", ""])
async def test_what_is_no_digest_is_not_there_and_cannot_be_read(containerd, digest):
    async with open_channel(str(containerd.socket)) as channel:
        assert await ContainerdClient(channel).blob_size(digest) is None
        with pytest.raises(RuntimeFaultError) as caught:
            await ContainerdClient(channel).read_blob(digest, most=1)
        assert FaultClass.PERMANENT is caught.value.fault.kind


@pytest.mark.containerd
async def test_the_pin_of_an_image_is_believed_by_version_2_alone(containerd, fake_registry):
    name, image = fresh()
    stage = RealStage(containerd, fake_registry)

    async with stage.open() as api:
        await stage.pull(name, image)

        async def becomes(pinned):
            with trio.move_on_after(1 if pinned else 20):
                while (await stage.service.image_status(image.id)).pinned is not pinned:  # noqa: ASYNC110 - as above
                    await trio.sleep(0.005)
            return (await stage.service.image_status(image.id)).pinned is pinned

        await api.label_image(image.id, {PINNED: "pinned", PINNED_BY: "us"})
        assert (not containerd.version.startswith("1.6")) is await becomes(pinned=True)
        await api.label_image(image.id, {PINNED: None, PINNED_BY: None})
        assert await becomes(pinned=False)


@pytest.mark.containerd
async def test_no_label_ends_containerd(containerd, fake_registry):
    """An update without its target would: a nil pointer, from 1.7 on."""
    name, image = fresh()
    stage = RealStage(containerd, fake_registry)
    pid = containerd.pid

    async with stage.open() as api:
        for one in await stage.pull(name, image):
            for labels in ({PINNED: "pinned"}, {PINNED: None}, {}, {"a": ""}):
                assert await api.label_image(one, labels)

    assert pid == containerd.pid is not None


@pytest.mark.containerd
async def test_a_pull_whose_lease_is_not_there_fails_and_says_so(containerd, fake_registry):
    name, image = fresh()
    whole = fake_registry.add(name, image)

    async with open_channel(str(containerd.socket)) as channel:
        with pytest.raises(RuntimeFaultError) as caught:
            await CriImageService(channel).pull_image(whole, lease="never-made")

    assert (FaultClass.PASSING, "lease_gone") == (caught.value.fault.kind, caught.value.fault.reason)


@pytest.mark.containerd
async def test_a_cut_pull_goes_on_where_it_stopped(containerd, fake_registry, lease):
    name, image = fresh(4 * MIB)
    stage = RealStage(containerd, fake_registry)

    async with stage.open() as api:
        await api.create_lease(lease, expires_at=soon(), labels={})
        await stage.pull_partly(name, image, lease)
        assert image.id == await stage.service.pull_image(f"{fake_registry.address}/{name}", lease=lease)
        await api.delete_lease(lease)

    cut, resumed = fake_registry.requests.of(stage="layer")
    assert (200, 206) == (cut.status, resumed.status)
    assert resumed.bytes_sent <= image.layers[0].size - MIB  # what had been seen of it was kept
    assert 1 == len(fake_registry.requests.of(stage="config"))


@pytest.mark.containerd
async def test_it_is_found_behind_the_channel_of_cri(containerd):
    async with open_channel(str(containerd.socket)) as channel:
        version = await CriImageService(channel).version()
        api = await find_containerd_api(version, channel, pytest.fail)

        assert () == tuple(await api.ingests())
