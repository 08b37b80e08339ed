"""The channel against containerd, as far as its API goes. Streams of messages are its content and event services'."""

import hashlib
from collections.abc import Iterator

import pytest
import trio

from nodeprefetch.errors import ConnectionLostError, NotConnectedError
from nodeprefetch.rpc import Channel, GRPCError, ServiceStub, Status, cri, open_channel
from nodeprefetch.rpc.stub import Replies
from tests.support.containerd import Containerd
from tests.support.grpc_script import RawMessage

pytestmark = pytest.mark.containerd

MIB = 1024 * 1024


def varint(number: int) -> bytes:
    head = b""
    while number > 0x7F:
        head += bytes([number & 0x7F | 0x80])
        number >>= 7
    return head + bytes([number])


def message(**fields: int | str | bytes) -> RawMessage:
    """A protobuf message from `f3=…`, the field's number and its value."""
    wire = b""
    for name, value in fields.items():
        number = int(name[1:])
        if isinstance(value, int):
            wire += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            wire += varint(number << 3 | 2) + varint(len(data)) + data
    return RawMessage(wire)


class Content(ServiceStub):
    """containerd's content service."""

    def write(self, requests: object) -> Replies[RawMessage]:
        return self._stream_stream("/containerd.services.content.v1.Content/Write", requests, RawMessage, RawMessage)

    def list(self) -> Replies[RawMessage]:
        return self._unary_stream("/containerd.services.content.v1.Content/List", message(), RawMessage)

    def read(self, digest: str) -> Replies[RawMessage]:
        return self._unary_stream("/containerd.services.content.v1.Content/Read", message(f1=digest), RawMessage)


class Events(ServiceStub):
    """containerd's event service."""

    def subscribe(self) -> Replies[RawMessage]:
        return self._unary_stream("/containerd.services.events.v1.Events/Subscribe", message(), RawMessage)

    async def publish(self, topic: str) -> None:
        event = message(f1=topic, f2=message(f1="t", f2=b"x").data)
        await self._unary_unary("/containerd.services.events.v1.Events/Publish", event, RawMessage)


NAMESPACE = {"containerd-namespace": "k8s.io"}


async def pull(channel: Channel, image: str) -> cri.PullImageResponse:
    request = cri.PullImageRequest(image=cri.ImageSpec(image=image))
    return await cri.ImageServiceStub(channel).pull_image(request)


async def test_the_runtime_says_who_it_is(containerd: Containerd) -> None:
    async with open_channel(str(containerd.socket)) as channel:
        version = await cri.RuntimeServiceStub(channel).version(cri.VersionRequest())
    assert ("containerd", "v1") == (version.runtime_name, version.runtime_api_version)


async def test_the_runtime_is_ready_and_says_more_when_asked(containerd: Containerd) -> None:
    async with open_channel(f"unix://{containerd.socket}") as channel:
        reply = await cri.RuntimeServiceStub(channel).status(cri.StatusRequest(verbose=True))
    assert ("RuntimeReady", True) in [(one.type, one.status) for one in reply.status.conditions]
    assert "config" in reply.info


async def test_the_image_service_answers(own_containerd: Containerd) -> None:
    spec = cri.ImageSpec(image="nobody/has:this")
    async with open_channel(str(own_containerd.socket)) as channel:
        service = cri.ImageServiceStub(channel)
        assert [] == (await service.list_images(cri.ListImagesRequest())).images
        assert (await service.image_status(cri.ImageStatusRequest(image=spec))).image is None
        await service.remove_image(cri.RemoveImageRequest(image=spec))
        usage = (await service.image_fs_info(cri.ImageFsInfoRequest())).image_filesystems
        assert [True] == [one.fs_id.mountpoint.endswith("overlayfs") for one in usage]


async def test_two_hundred_calls_at_once_are_answered(containerd: Containerd) -> None:
    async with open_channel(str(containerd.socket)) as channel:
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(cri.ImageServiceStub(channel).list_images, cri.ListImagesRequest())
        assert {} == channel._connections[0].session.streams
        assert 1 == len(channel._connections)


async def test_a_failed_pull_has_status_and_text(containerd: Containerd) -> None:
    async with open_channel(str(containerd.socket)) as channel:
        with pytest.raises(GRPCError, match="connection refused") as caught:
            await pull(channel, "127.0.0.1:1/x")
    assert Status.UNKNOWN == caught.value.status


async def test_an_unknown_method_is_unimplemented(containerd: Containerd) -> None:
    async with open_channel(str(containerd.socket)) as channel:
        with pytest.raises(GRPCError) as caught:
            await ServiceStub(channel)._unary_unary("/runtime.v1.ImageService/Fly", message(), RawMessage)
    assert Status.UNIMPLEMENTED == caught.value.status


async def test_a_call_without_its_metadata_is_told_so(containerd: Containerd) -> None:
    async with open_channel(str(containerd.socket)) as channel:
        with pytest.raises(GRPCError, match="namespace is required") as caught:
            async with Content(channel).list() as listing:
                await listing.recv_message()
    assert Status.FAILED_PRECONDITION == caught.value.status


async def test_a_cancelled_pull_stops_in_the_runtime(containerd: Containerd) -> None:
    """The registry accepts and stays silent; that containerd hangs up there shows that it has given up."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    containerd.use_registry(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")  # version 2 tries TLS first
    async with open_channel(str(containerd.socket)) as channel, listener, trio.open_nursery() as nursery:
        nursery.start_soon(pull, channel, f"127.0.0.1:{port}/x")
        async with await listener.accept() as request:
            assert b"HEAD /v2/x/manifests/latest" in await request.receive_some(27)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 5) as patience:
                while await request.receive_some(1000):
                    pass
            assert not patience.cancelled_caught


async def test_streams_go_both_ways(containerd: Containerd) -> None:
    """A blob of 5 MiB goes up in pieces, each of them acknowledged, is found in the list, and comes down whole."""
    blob = bytes(range(256)) * (5 * MIB // 256)
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"

    def upload() -> Iterator[RawMessage]:
        for offset in range(0, len(blob), MIB):
            yield message(f1=1, f2="upload", f3=len(blob), f5=offset, f6=blob[offset : offset + MIB])
        yield message(f1=2, f2="upload", f3=len(blob), f4=digest, f5=len(blob))

    async with open_channel(str(containerd.socket)) as channel:
        content = Content(channel, metadata=NAMESPACE)
        async with content.write(upload()) as replies:
            sent = [reply async for reply in replies]
            assert digest.encode() in sent[-1].data
        async with content.list() as listing:
            assert any(digest.encode() in reply.data for reply in [reply async for reply in listing])
        async with content.read(digest) as reading:
            assert blob == b"".join([data_of(reply.data) async for reply in reading])


def data_of(reply: bytes) -> bytes:
    """Field 2 of a message whose other field is a number before it."""
    position = 0
    if reply[0] == 1 << 3:
        position = 1
        while reply[position] & 0x80:
            position += 1
        position += 1
    assert 2 << 3 | 2 == reply[position]
    position += 1
    while reply[position] & 0x80:
        position += 1
    return reply[position + 1 :]


async def test_a_stream_without_end_can_be_left(containerd: Containerd) -> None:
    async with open_channel(str(containerd.socket)) as channel:
        events = Events(channel, metadata=NAMESPACE)

        async def publish() -> None:
            while True:
                await events.publish("/test/ping")
                await trio.sleep(0.05)

        async with events.subscribe() as envelopes, trio.open_nursery() as nursery:
            nursery.start_soon(publish)  # again and again: a subscription takes effect some time after the call
            async for envelope in envelopes:
                if b"/test/ping" in envelope.data:
                    break
            nursery.cancel_scope.cancel()
        assert {} == channel._connections[0].session.streams


async def test_a_killed_runtime_fails_the_pull_in_flight_and_answers_again_after_its_restart(
    own_containerd: Containerd,
) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    image = f"127.0.0.1:{listener.socket.getsockname()[1]}/x"
    async with open_channel(str(own_containerd.socket)) as channel, listener:
        failures: list[Exception] = []

        async def failing_pull() -> None:
            try:
                await pull(channel, image)
            except ConnectionLostError as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing_pull)
            async with await listener.accept():
                own_containerd.kill()
        assert 1 == len(failures)
        with pytest.raises(NotConnectedError):
            await cri.RuntimeServiceStub(channel).version(cri.VersionRequest())

        own_containerd.start()
        assert (await cri.RuntimeServiceStub(channel).version(cri.VersionRequest())).version
