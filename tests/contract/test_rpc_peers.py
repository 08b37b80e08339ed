"""The channel against servers that nobody here wrote: grpclib's and grpcio's, by Unix socket and by TCP."""

import random
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
import trio

from nodeprefetch.errors import ConnectionLostError, NotConnectedError, ProtocolViolationError
from nodeprefetch.rpc import Cardinality, Channel, GRPCError, ServiceStub, Status, open_channel
from nodeprefetch.rpc.stub import Replies
from tests.support.grpc_peers import KINDS, GrpcPeer
from tests.support.grpc_script import RawMessage

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=[f"{kind}-{way}" for kind in KINDS for way in ("unix", "tcp")])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcPeer]:
    kind, way = request.param.split("-")
    with GrpcPeer(kind, tmp_path_factory.mktemp("peer"), tcp=way == "tcp") as started:
        yield started


@pytest.fixture(params=KINDS)
def own_peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcPeer]:
    with GrpcPeer(request.param, tmp_path_factory.mktemp("peer")) as started:
        yield started


class Echo(ServiceStub):
    """A stub as dev/generate would make it."""

    async def unary(self, name: str, data: bytes = b"", **options: object) -> bytes:
        reply = await self._unary_unary(f"/test.Echo/{name}", RawMessage(data), RawMessage, **options)
        return reply.data

    def count(self, number: int, size: int) -> Replies[RawMessage]:
        return self._unary_stream("/test.Echo/Count", RawMessage(f"{number} {size}".encode()), RawMessage)

    async def collect(self, name: str, messages: object) -> bytes:
        reply = await self._stream_unary(f"/test.Echo/{name}", messages, RawMessage, RawMessage)
        return reply.data

    def chat(self, messages: object) -> Replies[RawMessage]:
        return self._stream_stream("/test.Echo/Chat", messages, RawMessage, RawMessage)


@pytest.mark.parametrize("size", [0, 1, 70_000, 16 * MIB])
async def test_a_message_of_any_size_comes_back(peer: GrpcPeer, size: int) -> None:
    data = random.Random(size).randbytes(size)
    async with open_channel(peer.address) as channel:
        assert data == await Echo(channel).unary("Unary", data)


async def test_a_message_over_the_limit_is_refused_and_the_connection_lives_on(peer: GrpcPeer) -> None:
    async with open_channel(peer.address, max_message=1000) as channel:
        with pytest.raises(ProtocolViolationError):
            await Echo(channel).unary("Unary", bytes(1001))
        assert bytes(1000) == await Echo(channel).unary("Unary", bytes(1000))
        assert 1 == len(channel._connections)


async def test_an_error_has_its_status_and_its_text(peer: GrpcPeer) -> None:
    async with open_channel(peer.address) as channel:
        with pytest.raises(GRPCError) as caught:
            await Echo(channel).unary("Fail", "5 no such café: 100%\nat all".encode())
    assert (Status.NOT_FOUND, "no such café: 100%\nat all") == (caught.value.status, caught.value.message)


async def test_an_unknown_method_is_unimplemented(peer: GrpcPeer) -> None:
    async with open_channel(peer.address) as channel:
        with pytest.raises(GRPCError) as caught:
            await Echo(channel).unary("Nonsense")
    assert Status.UNIMPLEMENTED == caught.value.status


async def test_metadata_goes_both_ways(peer: GrpcPeer) -> None:
    given = {"x-text": "a b", "x-bytes-bin": bytes(range(256))}
    async with (
        open_channel(peer.address) as channel,
        channel.request(
            "/test.Echo/Metadata", Cardinality.UNARY_UNARY, RawMessage, RawMessage, metadata=given
        ) as stream,
    ):
        await stream.send_message(RawMessage(b""), end=True)
        await stream.recv_message()
        assert set(given.items()) <= set(stream.initial_metadata)
        assert set(given.items()) <= set(stream.trailing_metadata)


async def test_the_server_knows_the_time_left(peer: GrpcPeer) -> None:
    async with open_channel(peer.address) as channel:
        with trio.fail_after(1000):
            left = float(await Echo(channel).unary("TimeLeft"))
        assert 990 < left <= 1000.001
        assert b"none" == await Echo(channel).unary("TimeLeft")


async def test_a_cancelled_call_is_cancelled_in_the_server(peer: GrpcPeer) -> None:
    async with open_channel(peer.address) as channel:
        echo = Echo(channel)
        begun, cancelled = (await echo.unary("Hanging")).split()

        async def changed(position: int, before: bytes) -> None:
            with trio.fail_after(300):
                while before == (await echo.unary("Hanging")).split()[position]:  # noqa: ASYNC110 (it must be asked)
                    await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo.unary, "Hang")
            await changed(0, begun)
            nursery.cancel_scope.cancel()
        await changed(1, cancelled)


@pytest.mark.parametrize(("number", "size"), [(0, 0), (1, 5), (1000, 0), (200, 50_000), (3, 5 * MIB)])
async def test_a_stream_from_the_server_comes_whole(peer: GrpcPeer, number: int, size: int) -> None:
    async with open_channel(peer.address) as channel, Echo(channel).count(number, size) as messages:
        sizes = [len(message.data) async for message in messages]
    assert [size] * number == sizes


async def test_a_stream_from_the_server_may_be_left_half_way(peer: GrpcPeer) -> None:
    async with open_channel(peer.address) as channel:
        async with Echo(channel).count(100_000, 1000) as messages:
            await messages.recv_message()
        assert b"x" == await Echo(channel).unary("Unary", b"x")
        assert {} == channel._connections[0].session.streams


@pytest.mark.parametrize(("number", "size"), [(0, 0), (3, 0), (1000, 10), (5, 3 * MIB)])
async def test_a_stream_to_the_server_goes_whole(peer: GrpcPeer, number: int, size: int) -> None:
    async with open_channel(peer.address) as channel:
        reply = await Echo(channel).collect("Sum", [RawMessage(bytes(size))] * number)
    assert f"{number} {number * size}" == reply.decode()


async def test_an_asynchronous_source_is_sent_too(peer: GrpcPeer) -> None:
    async def source() -> AsyncIterator[RawMessage]:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            yield RawMessage(b"abc")

    async with open_channel(peer.address) as channel:
        assert b"3 9" == await Echo(channel).collect("Sum", source())


async def test_a_source_that_fails_ends_the_call_with_its_error(peer: GrpcPeer) -> None:
    def source() -> Iterator[RawMessage]:
        yield RawMessage(b"")
        raise KeyError

    async with open_channel(peer.address) as channel:
        with pytest.raises(KeyError):
            await Echo(channel).collect("Sum", source())
        assert b"x" == await Echo(channel).unary("Unary", b"x")


async def test_an_early_answer_ends_the_sending(peer: GrpcPeer) -> None:
    """The source has no end; whether the server opens the window or not, its answer counts."""

    async def source() -> AsyncIterator[RawMessage]:
        while True:
            yield RawMessage(bytes(1000))
            await trio.lowlevel.checkpoint()

    async with open_channel(peer.address) as channel:
        with trio.fail_after(300):
            assert bytes(1000) == await Echo(channel).collect("Early", source())
        assert b"x" == await Echo(channel).unary("Unary", b"x")


async def test_both_sides_may_talk_at_once(peer: GrpcPeer) -> None:
    """Every message is sent after the answer to the last one."""
    send, receive = trio.open_memory_channel[RawMessage](1)
    seen = []
    async with open_channel(peer.address) as channel, send:
        send.send_nowait(RawMessage(b"."))
        async with Echo(channel).chat(receive) as replies:
            async for reply in replies:
                seen.append(len(reply.data))
                if len(reply.data) == 100:
                    break
                send.send_nowait(RawMessage(reply.data + b"."))
    assert list(range(1, 101)) == seen


async def test_a_lot_of_large_messages_go_both_ways_at_once(peer: GrpcPeer) -> None:
    """Together far more than all windows hold: with reading and writing in one task both ends would wait for ever."""
    messages = [RawMessage(bytes(MIB))] * 20
    async with open_channel(peer.address) as channel, Echo(channel).chat(messages) as replies:
        sizes = [len(reply.data) async for reply in replies]
    assert [MIB] * 20 == sizes


async def test_many_calls_share_one_connection(peer: GrpcPeer) -> None:
    replies: set[bytes] = set()

    async def call(channel: Channel, number: int) -> None:
        replies.add(await Echo(channel).unary("Unary", b"%d" % number * 1000))

    async with open_channel(peer.address) as channel:
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(call, channel, number)
        assert 1 == len(channel._connections)
    assert {b"%d" % number * 1000 for number in range(200)} == replies


async def test_a_killed_server_fails_the_call_in_flight_and_a_new_one_gets_the_next(own_peer: GrpcPeer) -> None:
    outcome: list[Exception] = []
    async with open_channel(own_peer.address) as channel:

        async def hang() -> None:
            try:
                await Echo(channel).unary("Hang")
            except ConnectionLostError as exc:
                outcome.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang)
            await Echo(channel).unary("Unary")
            own_peer.stop()
        assert 1 == len(outcome)
        with pytest.raises(NotConnectedError):
            await Echo(channel).unary("Unary")

        own_peer.start()
        assert b"x" == await Echo(channel).unary("Unary", b"x")


async def test_a_server_that_stopped_reading_does_not_hold_a_cancelled_call(own_peer: GrpcPeer) -> None:
    async with open_channel(own_peer.address) as channel:
        await Echo(channel).unary("Unary")
        own_peer.freeze()
        start = trio.current_time()
        with trio.move_on_after(0.1):
            await Echo(channel).unary("Unary", bytes(10 * MIB))
    took = trio.current_time() - start
    own_peer.thaw()
    assert took < 60  # 0.6 s and what a busy machine adds; held by the server, it would be without end


@pytest.mark.slow
async def test_ten_thousand_calls_half_of_them_cancelled_leave_nothing_behind(own_peer: GrpcPeer) -> None:
    """One in two is cancelled, at a moment between its beginning and what would be its end."""
    chance = random.Random(20261)
    limit = trio.CapacityLimiter(100)
    done = [0, 0]

    async def call(channel: Channel) -> None:
        async with limit:
            kind = chance.choice(["Unary", "Unary", "Count", "Chat", "Hang"])
            patience = chance.expovariate(200) if chance.random() < 0.5 or kind == "Hang" else 60
            with trio.move_on_after(patience) as scope, suppress(ConnectionLostError):
                echo, data = Echo(channel), bytes(chance.randrange(3000))
                if kind == "Count":
                    async with echo.count(5, 2000) as messages:
                        assert [2000] * 5 == [len(message.data) async for message in messages]
                elif kind == "Chat":
                    async with echo.chat([RawMessage(data)] * 3) as messages:
                        assert [data] * 3 == [message.data async for message in messages]
                else:
                    assert data == await echo.unary(kind, data)
            done[scope.cancelled_caught] += 1

    async def calls(channel: Channel, number: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(number):
                nursery.start_soon(call, channel)

    async with open_channel(own_peer.address) as channel:
        tracemalloc.start()
        await calls(channel, 2000)
        memory, tasks = tracemalloc.get_traced_memory()[0], trio.lowlevel.current_statistics().tasks_living
        for _ in range(8):
            await calls(channel, 1000)
        await trio.testing.wait_all_tasks_blocked(0.05)
        growth = tracemalloc.get_traced_memory()[0] - memory
        tracemalloc.stop()

        session = channel._connections[-1].session
        assert 1 == len(channel._connections)
        assert {} == session.streams
        assert 0 == session._http2.open_outbound_streams
        assert tasks == trio.lowlevel.current_statistics().tasks_living
        assert growth < 2 * MIB  # h2 remembers how the last 65,536 streams ended
        assert b"x" == await Echo(channel).unary("Unary", b"x")
    assert done[1] > 3000
    assert done[0] > 3000
