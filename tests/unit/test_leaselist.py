"""`leases` with runtimes that have none or fail. The rest is in the integration tests."""

import json
import math

import pytest
import trio

from nodeprefetch.cli.leases import ListedLease, _to_table, list_leases
from nodeprefetch.cli.output import to_json
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.runtime.api import ContainerdApi, Lease, RuntimeVersion
from nodeprefetch.runtime.connect import Connect, Runtime
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.runtime.lease_labels import new_lease
from nodeprefetch.testing import FakeContainerdApi, FakeImageService


def leads_to(api: ContainerdApi | None, name: str = "containerd") -> Connect:
    async def connect(_: trio.Nursery) -> Runtime:
        version = RuntimeVersion(name=name, version="1")
        return Runtime(service=FakeImageService(), version=version, socket="/fake.sock", containerd=api)

    return connect


async def put(api: FakeContainerdApi, image: str, instance: str, *, expires_at: float = 1000) -> str:
    lease = new_lease(image, instance=instance, run="r", expires_at=expires_at)
    await api.create_lease(lease.id, expires_at=expires_at, labels=lease.labels)
    return lease.id


async def message_of(connect: Connect, *, delete: bool = False) -> str:
    with pytest.raises(ExceptionGroup) as caught:
        await list_leases(connect, "one", delete=delete)
    (error,) = caught.value.exceptions
    assert isinstance(error, RuntimeUnavailableError)
    return str(error)


async def test_a_lease_is_listed_with_the_bytes_it_keeps():
    api = FakeContainerdApi()
    lease = await put(api, "r/a:1", "one")
    await put(api, "r/a:1", "two")
    await api.create_lease("foreign", expires_at=1, labels={})
    api.begin("config", total=100, lease=lease, kind="config")
    api.commit("config", 100, kind="config")
    api.begin("layer", total=1000, lease=lease)
    api.write("layer", 700)
    api.begin("of others", total=1000)
    api.write("of others", 500)
    api.hold(lease, "snapshots", "extract")

    assert [
        ListedLease(id=lease, image="r/a:1", instance="one", expires_at=1000, kept_bytes=800, deleted=False)
    ] == await list_leases(leads_to(api), "one")
    assert ["one", "two"] == [one.instance for one in await list_leases(leads_to(api), None)]
    assert 3 == len(api.leases_held)


async def test_deleted_are_those_asked_for():
    api = FakeContainerdApi()
    await put(api, "r/a:1", "one")
    other = await put(api, "r/a:1", "two", expires_at=1e12)

    assert [True] == [one.deleted for one in await list_leases(leads_to(api), "one", delete=True)]
    assert {other} == set(api.leases_held)


async def test_one_that_goes_meanwhile_was_not_deleted_by_us():
    class Racing(FakeContainerdApi):
        async def lease_resources(self, lease_id):
            await super().delete_lease(lease_id)
            return await super().lease_resources(lease_id)

    api = Racing()
    await put(api, "r/a:1", "one")

    assert [(0, False)] == [
        (one.kept_bytes, one.deleted) for one in await list_leases(leads_to(api), "one", delete=True)
    ]


async def test_another_runtime_has_no_leases(capsys):
    assert [] == await list_leases(leads_to(None, "cri-o"), "one")
    assert "nodeprefetch: this command needs containerd, but the runtime is cri-o 1\n" == capsys.readouterr().err


async def test_a_containerd_that_does_not_let_us_look_is_an_error():
    assert "could not read leases: containerd API unavailable" == await message_of(leads_to(None))


@pytest.mark.parametrize(
    ("delete", "text"),
    [
        (False, "could not read leases: connection refused"),
        (True, "could not delete all leases: connection refused (run the command again)"),
    ],
)
async def test_a_containerd_that_goes_away_is_an_error(delete, text):
    api = FakeContainerdApi()
    api.gone = RuntimeFaultError.gone("connection refused")

    assert text == await message_of(leads_to(api), delete=delete)


async def test_a_containerd_that_does_not_answer_is_an_error(autojump_clock):
    class Silent(FakeContainerdApi):
        async def leases(self):
            await trio.sleep(math.inf)

    assert "could not read leases: no answer in 1m" == await message_of(leads_to(Silent()))
    assert 60 == trio.current_time()


async def test_a_lease_without_an_end_has_none():
    api = FakeContainerdApi()
    made = new_lease("r/a:1", instance="", run="r", expires_at=1)
    api.leases_held[made.id] = Lease(id=made.id, labels=made.labels)
    api.resources[made.id] = []

    (found,) = await list_leases(leads_to(api), "")

    assert found.expires_at is None


def test_the_table_shows_when_leases_expire():
    found = [
        ListedLease(id="1", image="r/a:1", instance="one", expires_at=100, kept_bytes=3 << 20, deleted=False),
        ListedLease(id="2", image="r/b:1", instance="", expires_at=10, kept_bytes=0, deleted=False),
        ListedLease(id="3", image="r/c:1", instance="one", expires_at=100, kept_bytes=0, deleted=True),
        ListedLease(id="4", image="r/d:1", instance="one", expires_at=None, kept_bytes=0, deleted=False),
    ]

    assert [
        "IMAGE  INSTANCE          KEEPS    EXPIRES",
        "r/a:1  one               3.0 MiB  1970-01-01 00:01:40Z",
        "r/b:1  (without a name)  0 B      1970-01-01 00:00:10Z (expired, awaiting garbage collection)",
        "r/c:1  one               0 B      deleted",
        "r/d:1  one               0 B      never",
    ] == _to_table(found, 50).splitlines()
    assert 4 == len(json.loads(to_json(found)))
