"""What goes to containerd's own API, byte for byte where a wrong byte would end containerd; what its answers mean."""

import subprocess
import sys
from types import ModuleType

import pytest
import trio
from h2 import events

from nodeprefetch.rpc import Status, open_channel
from nodeprefetch.rpc import containerd as rpc
from nodeprefetch.runtime.api import ImageName, Ingest, Lease, Resource, ResourceKind, RuntimeVersion
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.runtime.containerd import ContainerdClient, find_containerd_api
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError
from tests.support.cri_server import FakeCriServer
from tests.support.grpc_script import ScriptedServer

CONTAINERD = RuntimeVersion(name="containerd", version="2.4.2")
TARGET = rpc.types.Target(media_type="application/x", digest="sha256:1", size=7, annotations={"a": "b"})
FOUND = rpc.images.GetImageResponse(
    image=rpc.images.Image(name="sha256:2", labels={"io.cri-containerd.image": "managed"}, target=TARGET)
)
UPDATE = "/containerd.services.images.v1.Images/Update"


async def converse(call, *answers):
    """What the call returns, and the path, headers and message of each request; one answer for each.

    An answer is a message, a list of messages, or the status of an error.
    """
    server, requests, outcome = ScriptedServer(), [], []

    async def serve():
        connection = await server.accept()
        for answer in answers:
            request = await connection.expect(events.RequestReceived)
            headers = dict(request.headers)
            requests.append((headers[":path"], headers, (await connection.message(request.stream_id))[5:]))
            failed = isinstance(answer, Status)
            await connection.send_head(request.stream_id)
            for message in [] if failed else answer if isinstance(answer, list) else [answer]:
                await connection.send_message(request.stream_id, bytes(message))
            await connection.send_status(request.stream_id, answer.value if failed else 0, ("grpc-message", "why"))
        request = await connection.expect(events.RequestReceived)
        pytest.fail(f"not expected: {dict(request.headers)[':path']}")

    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            outcome.append(await call(ContainerdClient(channel)))
        except RuntimeFaultError as error:
            outcome.append(error)
        nursery.cancel_scope.cancel()
    return outcome[0], requests


async def test_an_update_gives_the_target_back_and_masks_labels_alone():
    labels = {"nodeprefetch.io/pinned-by": "us", "io.cri-containerd.pinned": None}

    done, (get, update) = await converse(
        lambda api: api.label_image("sha256:2", labels), FOUND, rpc.images.UpdateImageResponse()
    )
    sent = rpc.images.UpdateImageRequest.parse(update[2])

    assert done is True
    assert ("/containerd.services.images.v1.Images/Get", UPDATE) == (get[0], update[0])
    assert "sha256:2" == rpc.images.GetImageRequest.parse(get[2]).name == sent.image.name
    assert bytes(TARGET) == bytes(sent.image.target)
    assert bytes(TARGET) in update[2]
    assert {"nodeprefetch.io/pinned-by": "us"} == sent.image.labels
    assert ["labels.nodeprefetch.io/pinned-by", "labels.io.cri-containerd.pinned"] == sent.update_mask.paths


@pytest.mark.parametrize(
    "image",
    [
        None,
        rpc.images.Image(name="x"),
        rpc.images.Image(name="x", target=rpc.types.Target()),
        rpc.images.Image(name="x", target=rpc.types.Target(media_type="a", size=1)),
    ],
)
async def test_an_image_without_a_target_is_never_updated(image):
    error, requests = await converse(
        lambda api: api.label_image("x", {"a": "b"}), rpc.images.GetImageResponse(image=image)
    )

    assert "containerd's record of image 'x' has no target" == str(error)
    assert ["/containerd.services.images.v1.Images/Get"] == [path for path, _, _ in requests]


async def test_no_labels_make_no_update():
    """Without a mask all labels and the target would be replaced."""
    done, requests = await converse(lambda api: api.label_image("sha256:2", {}), FOUND)

    assert (True, 1) == (done, len(requests))


async def test_an_image_that_goes_before_its_update_is_not_there():
    done, _ = await converse(lambda api: api.label_image("sha256:2", {"a": "b"}), FOUND, Status.NOT_FOUND)

    assert done is False


def test_one_method_sends_updates_and_nobody_else_can():
    """Whoever wants to send one reads `_update_labels` first."""
    users = subprocess.run(
        [
            "grep",
            "-rlE",
            r"UpdateImageRequest|\.update\(rpc|ImagesStub|Images/Update",
            "--include=*.py",
            "nodeprefetch",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {
        "nodeprefetch/runtime/containerd.py",
        "nodeprefetch/rpc/_generated/containerd/services/images/v1/__init__.py",
    } == set(users)
    assert [] == [name for name in dir(ContainerdClient) if "update" in name and not name.startswith("_")]
    assert not hasattr(rpc.images.ImagesStub, "create")


READS = [
    (lambda api: api.create_lease("a", expires_at=0, labels={}), rpc.leases.CreateResponse()),
    (lambda api: api.delete_lease("a"), rpc.types.Empty()),
    (lambda api: api.leases(), rpc.leases.ListResponse()),
    (lambda api: api.lease_resources("a"), rpc.leases.ListResourcesResponse()),
    (lambda api: api.ingests(), rpc.content.ListStatusesResponse()),
    (lambda api: api.blob_size("a"), rpc.content.InfoResponse()),
    (lambda api: api.read_blob("a", most=1), []),
    (lambda api: api.image_names(), rpc.images.ListImagesResponse()),
    (lambda api: api.label_image("a", {}), FOUND),
]


@pytest.mark.parametrize(("call", "answer"), READS)
async def test_every_call_says_in_which_namespace(call, answer):
    _, ((_, headers, _),) = await converse(call, answer)

    assert "k8s.io" == headers["containerd-namespace"]


@pytest.mark.parametrize(("call", "_answer"), READS)
async def test_an_error_is_ours(call, _answer):
    error, _ = await converse(call, Status.PERMISSION_DENIED)

    assert ("PERMISSION_DENIED", "why") == (error.code, str(error))


async def test_a_lease_carries_its_end_rounded_up_to_milliseconds():
    made, ((_, _, sent),) = await converse(
        lambda api: api.create_lease("a", expires_at=1_800_000_000.0001, labels={"x": "y"}), rpc.leases.CreateResponse()
    )

    assert made is True
    assert rpc.leases.CreateRequest(
        id="a", labels={"x": "y", "containerd.io/gc.expire": "2027-01-15T08:00:00.001Z"}
    ) == rpc.leases.CreateRequest.parse(sent)


async def test_a_lease_is_deleted_and_what_it_held_collected_before_the_answer():
    _, ((_, _, sent),) = await converse(lambda api: api.delete_lease("a"), rpc.types.Empty())

    assert rpc.leases.DeleteRequest(id="a", sync=True) == rpc.leases.DeleteRequest.parse(sent)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("2027-01-15T09:00:00+01:00", 1_800_000_000),
        ("2027-01-15T08:00:00.250000000Z", 1_800_000_000.25),
        ("tomorrow", None),
    ],
)
async def test_the_end_of_a_lease_is_read_as_others_write_it(text, expected):
    lease = rpc.leases.Lease(
        id="a",
        labels={"containerd.io/gc.expire": text, "x": "y"},
        created_at=rpc.types.Timestamp(seconds=5, nanos=500_000_000),
    )
    kept = {"x": "y"} if expected else {"containerd.io/gc.expire": text, "x": "y"}

    leases, _ = await converse(lambda api: api.leases(), rpc.leases.ListResponse(leases=[lease]))

    assert (Lease(id="a", labels=kept, created_at=5.5, expires_at=expected),) == leases


async def test_a_lease_may_say_nothing_of_its_times():
    leases, _ = await converse(
        lambda api: api.leases(), rpc.leases.ListResponse(leases=[rpc.leases.Lease(id="a", labels={})])
    )

    assert (Lease(id="a"),) == leases


async def test_snapshots_of_any_snapshotter_are_snapshots_and_unknown_kinds_are_left_out():
    resources = [
        rpc.leases.Resource(id=name, type=kind)
        for name, kind in [("1", "content"), ("2", "ingests"), ("3", "snapshots/native"), ("4", "streams"), ("5", "")]
    ]

    known, _ = await converse(
        lambda api: api.lease_resources("a"), rpc.leases.ListResourcesResponse(resources=resources)
    )

    assert (
        Resource(kind=ResourceKind.CONTENT, id="1"),
        Resource(kind=ResourceKind.INGEST, id="2"),
        Resource(kind=ResourceKind.SNAPSHOT, id="3"),
    ) == known


async def test_ingests_are_read():
    status = rpc.content.Status(ref="layer-sha256:1", offset=5, total=7)

    ingests, _ = await converse(lambda api: api.ingests(), rpc.content.ListStatusesResponse(statuses=[status]))

    assert (Ingest(ref="layer-sha256:1", offset=5, total=7),) == ingests


@pytest.mark.parametrize(("most", "expected"), [(4, b"abcd"), (3, None), (0, None)])
async def test_a_blob_that_comes_in_parts_is_read_up_to_a_limit(most, expected):
    parts = [rpc.content.ReadContentResponse(data=b"ab"), rpc.content.ReadContentResponse(offset=2, data=b"cd")]

    data, _ = await converse(lambda api: api.read_blob("a", most=most), parts)

    assert expected == data


async def test_a_record_that_stands_for_nothing_has_no_digest():
    names, _ = await converse(
        lambda api: api.image_names(), rpc.images.ListImagesResponse(images=[rpc.images.Image(name="a")])
    )

    assert (ImageName(name="a", digest=""),) == names


@pytest.mark.parametrize(
    ("call", "status", "expected"),
    [
        (lambda api: api.create_lease("a", expires_at=0, labels={}), Status.ALREADY_EXISTS, False),
        (lambda api: api.delete_lease("a"), Status.NOT_FOUND, False),
        (lambda api: api.lease_resources("a"), Status.NOT_FOUND, None),
        (lambda api: api.blob_size("a"), Status.NOT_FOUND, None),
        (lambda api: api.blob_size("what a manifest calls a digest"), Status.INVALID_ARGUMENT, None),
        (lambda api: api.read_blob("a", most=1), Status.NOT_FOUND, None),
        (lambda api: api.label_image("a", {"b": "c"}), Status.NOT_FOUND, False),
    ],
)
async def test_what_is_not_there_is_no_error(call, status, expected):
    answer, _ = await converse(call, status)

    assert expected is answer


async def test_another_runtime_is_not_asked():
    server = ScriptedServer()

    async with server.channel() as channel:
        found = await find_containerd_api(RuntimeVersion(name="cri-o", version="1.37.0"), channel, pytest.fail)

        assert (None, []) == (found, channel._connections)


@pytest.fixture
def cri_server(short_path):
    """It says that it is containerd, and serves CRI alone."""
    with FakeCriServer(short_path / "cri.sock") as server:
        yield server


async def test_a_containerd_that_serves_cri_alone_is_told_of_once_and_goes_on(cri_server):
    said = []

    async with trio.open_nursery() as nursery:
        runtime = await connect_to(str(cri_server.socket), wait=0, warn=said.append)(nursery)
        await runtime.service.list_images()
        nursery.cancel_scope.cancel()

    assert runtime.containerd is None
    (text,) = said
    assert text.startswith("containerd API unavailable: pulls cannot be resumed and report no progress: ")


async def test_its_own_api_is_not_looked_for_where_nobody_wants_it(cri_server):
    async with trio.open_nursery() as nursery:
        runtime = await connect_to(str(cri_server.socket), wait=0)(nursery)
        nursery.cancel_scope.cancel()

    assert runtime.containerd is None
    assert ("Version",) == cri_server.asked


async def test_its_own_api_that_is_silent_is_given_up(autojump_clock, monkeypatch):
    """5 s, the limit for any answer of a runtime."""
    server, said = ScriptedServer(), []

    async with server.channel() as channel:
        assert await find_containerd_api(CONTAINERD, channel, said.append) is None

    assert 5 == trio.current_time()
    assert ["containerd API unavailable: pulls cannot be resumed and report no progress: no answer in 5s"] == said


async def test_it_is_gone_when_nobody_is_there(short_path):
    said = []
    async with open_channel(str(short_path / "nobody.sock")) as channel:
        assert await find_containerd_api(CONTAINERD, channel, said.append) is None
        with pytest.raises(RuntimeFaultError) as caught:
            await ContainerdClient(channel).leases()

    assert FaultClass.RUNTIME_GONE is caught.value.fault.kind
    assert 1 == len(said)


async def test_a_lease_goes_along_with_the_pull_as_metadata(cri_server):
    cri_server.plan("app:1", "sha256:" + "1" * 64)

    async with open_channel(str(cri_server.socket)) as channel:
        await CriImageService(channel).pull_image("app:1", lease="ours")
        await CriImageService(channel).pull_image("app:1")

    assert ["ours", None] == [pull.metadata.get("containerd-lease") for pull in cri_server.pulls]


def test_messages_are_loaded_when_they_are_used():
    code = """
import sys, nodeprefetch.runtime.connect
from nodeprefetch.rpc import containerd
before = [name for name in sys.modules if "_generated.containerd" in name]
containerd.leases.CreateRequest
print(before, *sorted(name for name in sys.modules if "_generated.containerd.services." in name and ".v1" in name))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "[] nodeprefetch.rpc._generated.containerd.services.leases.v1\n" == said


def test_what_is_no_service_is_no_module():
    assert isinstance(rpc.types, ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'tasks'"):
        _ = rpc.tasks
