"""The fake of containerd's own API plays a pull at the times that a test says."""

import pytest
import trio

from nodeprefetch.runtime.api import Ingest, Resource, ResourceKind
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing import FakeContainerdApi

LAYER, MANIFEST = "sha256:1", "sha256:2"
REF = f"layer-{LAYER}"


async def test_a_layer_arrives_step_by_step(autojump_clock):
    """Begun at 0, half of it at 1, complete at 2; looked at in between."""
    api, seen = FakeContainerdApi(), []
    await api.create_lease("ours", expires_at=100, labels={})

    async def play():
        api.begin(LAYER, total=100, lease="ours")
        await trio.sleep(1)
        api.write(LAYER, 50)
        await trio.sleep(1)
        api.commit(LAYER, 100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(play)
        await trio.sleep(0.5)
        for _ in range(3):
            seen.append((await api.ingests(), await api.lease_resources("ours"), await api.blob_size(LAYER)))
            await trio.sleep(1)

    ingest = (Resource(kind=ResourceKind.INGEST, id=REF),)
    assert [
        ((Ingest(ref=REF, offset=0, total=100),), ingest, None),
        ((Ingest(ref=REF, offset=50, total=100),), ingest, None),
        ((), (Resource(kind=ResourceKind.CONTENT, id=LAYER),), 100),
    ] == seen
    assert bytes(100) == await api.read_blob(LAYER, most=100)


async def test_an_ingest_goes_on_under_another_lease_and_outlives_the_first(autojump_clock):
    api = FakeContainerdApi()
    for lease in ("first", "second"):
        await api.create_lease(lease, expires_at=100, labels={})
    api.begin(LAYER, total=100, lease="first")
    api.write(LAYER, 50)

    api.begin(LAYER, total=100, lease="second")
    await api.delete_lease("first")

    assert (Ingest(ref=REF, offset=50, total=100),) == await api.ingests()


async def test_a_lease_expires_on_virtual_time_at_the_next_collection(autojump_clock):
    api = FakeContainerdApi()
    end = trio.current_time() + 10
    await api.create_lease("ours", expires_at=end, labels={})
    await api.create_lease("other", expires_at=end + 1, labels={})
    api.begin(LAYER, total=100, lease="ours")

    await trio.sleep(11)
    assert 2 == len(await api.leases())
    api.collect()

    assert (["other"], ()) == ([lease.id for lease in await api.leases()], await api.ingests())


async def test_a_snapshot_is_held_once_and_dropped(autojump_clock):
    api = FakeContainerdApi()
    await api.create_lease("ours", expires_at=100, labels={})
    for _ in range(2):
        api.hold("ours", ResourceKind.SNAPSHOT, "extract-1 sha256:9")

    assert (Resource(kind=ResourceKind.SNAPSHOT, id="extract-1 sha256:9"),) == await api.lease_resources("ours")
    api.drop("ours", ResourceKind.SNAPSHOT, "extract-1 sha256:9")
    assert () == await api.lease_resources("ours")
    with pytest.raises(KeyError):
        api.hold("nobody's", ResourceKind.SNAPSHOT, "x")


async def test_what_an_image_keeps_goes_with_its_last_record(autojump_clock):
    api = FakeContainerdApi()
    for name in ("a:1", "sha256:3"):
        api.record(name, MANIFEST, blobs=[LAYER])
    api.commit(LAYER, 100)
    api.commit(MANIFEST, b"{}", kind="manifest")

    api.forget("a:1")
    assert [100, 2] == [await api.blob_size(LAYER), await api.blob_size(MANIFEST)]
    api.forget("sha256:3")
    assert [None, None] == [await api.blob_size(LAYER), await api.blob_size(MANIFEST)]


async def test_everything_fails_while_it_is_gone_and_is_noted(autojump_clock):
    api = FakeContainerdApi()
    api.gone = RuntimeFaultError.gone("away")

    with pytest.raises(RuntimeFaultError, match="away"):
        await api.leases()
    api.gone = None

    assert () == await api.ingests()
    assert ["leases", "ingests"] == api.asked
