"""Many calls on a connection, its end, and the next one."""

import contextlib
from contextlib import AsyncExitStack

import pytest
import trio
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from nodeprefetch.errors import ConnectionLostError, NotConnectedError, ProtocolViolationError, RpcError
from nodeprefetch.rpc import Cardinality, Channel, GRPCError, ServiceStub
from tests.support.grpc_script import HEAD, RawMessage, ScriptedConnection, ScriptedServer

A = RawMessage(b"a")


def preface_and_request() -> bytes:
    client = H2Connection(H2Configuration())
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "x")])
    return client.data_to_send()


PREFACE_AND_REQUEST = preface_and_request()


async def unary(channel: Channel) -> RawMessage:
    return await ServiceStub(channel)._unary_unary("/t.T/Call", A, RawMessage)


async def outcome(channel: Channel, outcomes: list[object]) -> None:
    try:
        outcomes.append((await unary(channel)).data)
    except RpcError as exc:
        outcomes.append(exc)


async def test_one_call_goes_ahead_of_the_servers_settings_and_the_others_wait_for_them(
    autojump_clock: MockClock,
) -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(unary, channel)
        connection = await server.accept()
        silent, connection.flush = connection.flush, trio.lowlevel.checkpoint
        await connection.request()
        with trio.move_on_after(10) as scope:
            await connection.request()
        assert scope.cancelled_caught

        connection.flush = silent
        assert [3, 5] == [await connection.request(), await connection.request()]
        for stream_id in (1, 3, 5):
            await connection.answer(stream_id)


async def test_pushes_are_refused_and_no_limit_of_calls_is_advertised() -> None:
    """MAX_CONCURRENT_STREAMS would be about pushes, and a 0 there makes some servers refuse everything."""
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel)
        connection = await server.accept()
        changed = (await connection.expect(events.RemoteSettingsChanged)).changed_settings

        assert 0 == changed[SettingCodes.ENABLE_PUSH].new_value
        assert SettingCodes.MAX_CONCURRENT_STREAMS not in changed
        await connection.answer(await connection.request())


async def test_no_more_calls_are_open_than_the_server_takes() -> None:
    server = ScriptedServer({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    most = 0
    async with server.channel() as channel, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(unary, channel)
        connection = await server.accept()
        for _ in range(20):
            stream_id = await connection.request()
            await trio.testing.wait_all_tasks_blocked()
            most = max(most, connection.http2.open_inbound_streams)
            await connection.answer(stream_id)
    assert 2 == most


async def test_a_call_that_is_cancelled_in_the_queue_sends_nothing(autojump_clock: MockClock) -> None:
    server = ScriptedServer({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel)
        connection = await server.accept()
        first = await connection.request()
        with trio.move_on_after(1):
            await unary(channel)
        await connection.answer(first)
        nursery.start_soon(unary, channel)

        assert 3 == await connection.request()
        await connection.answer(3)


async def test_a_cancelled_call_makes_room_for_the_next_in_the_queue(autojump_clock: MockClock) -> None:
    server = ScriptedServer({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def impatient() -> None:
            with trio.move_on_after(1):
                await unary(channel)

        nursery.start_soon(impatient)
        connection = await server.accept()
        await connection.request()
        nursery.start_soon(unary, channel)
        second = await connection.request()

        assert 1 == trio.current_time()
        await connection.answer(second)


async def test_a_ping_is_answered() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel)
        connection = await server.accept()
        stream_id = await connection.request()
        connection.http2.ping(b"12345678")

        assert b"12345678" == (await connection.expect(events.PingAckReceived)).ping_data
        await connection.answer(stream_id)


def go_away(connection: ScriptedConnection, last: int, code: int = 0) -> bytes:
    """A GOAWAY frame: h2 would close its side of the connection with its own."""
    body = last.to_bytes(4) + code.to_bytes(4)
    return len(body).to_bytes(3) + b"\7\0\0\0\0\0" + body


async def test_a_server_going_away_finishes_what_it_took_and_the_next_call_connects_again() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        assert 1 == await connection.request()
        nursery.start_soon(outcome, channel, outcomes)
        assert 3 == await connection.request()

        await connection.transport.send_all(go_away(connection, last=1))
        await trio.testing.wait_all_tasks_blocked()
        assert [ConnectionLostError] == list(map(type, outcomes))

        nursery.start_soon(outcome, channel, outcomes)
        second = await server.accept()
        await second.answer(await second.request(), b"second")
        await connection.answer(1, b"first")
        await trio.testing.wait_all_tasks_blocked()
        assert [b"second", b"first"] == outcomes[1:]
        with pytest.raises(trio.EndOfChannel):  # nothing keeps the old connection any more
            await connection.request()


async def test_a_server_going_away_in_two_steps_finishes_all() -> None:
    """As grpc-go does: first with the largest ID, then with the last one it saw."""
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.request()
        for last in (2**31 - 1, 1):
            await connection.transport.send_all(go_away(connection, last=last))
        await connection.answer(1, b"x")
    assert [b"x"] == outcomes


async def test_an_idle_connection_that_goes_away_is_closed() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel)
        connection = await server.accept()
        await connection.answer(await connection.request())
        await trio.testing.wait_all_tasks_blocked()
        await connection.transport.send_all(go_away(connection, last=1))

        with pytest.raises(trio.EndOfChannel):
            await connection.request()


async def test_calls_in_the_queue_move_on_when_the_server_goes_away() -> None:
    server = ScriptedServer({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.request()
        nursery.start_soon(outcome, channel, outcomes)
        await trio.testing.wait_all_tasks_blocked()
        await connection.transport.send_all(go_away(connection, last=1))
        second = await server.accept()
        await second.answer(await second.request(), b"moved on")
        await connection.answer(1, b"first")
    assert {b"moved on", b"first"} == set(outcomes)


@pytest.mark.parametrize("how", ["closed", "broken"])
async def test_calls_in_flight_fail_with_the_connection_and_the_next_connects_again(how: str) -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.request()
        await connection.request()
        await (connection.transport.send_eof() if how == "closed" else connection.transport.aclose())
        await trio.testing.wait_all_tasks_blocked()
        assert [ConnectionLostError] * 2 == list(map(type, outcomes))

        nursery.start_soon(outcome, channel, outcomes)
        again = await server.accept()
        await again.answer(await again.request(), b"again")
        assert 1 == len(channel._connections)  # the lost one is forgotten
    assert b"again" == outcomes[2]


async def test_a_connection_that_breaks_while_it_writes_fails_its_calls(autojump_clock: MockClock) -> None:
    """Half a second is left for answers that may have come before."""
    server = ScriptedServer(lockstep=True)
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await trio.testing.wait_all_tasks_blocked()
        connection.transport.receive_stream.close()
    assert 0.5 == trio.current_time()
    assert isinstance(outcomes[0].__cause__, trio.BrokenResourceError)
    assert [ConnectionLostError] == list(map(type, outcomes))


async def test_an_answer_given_before_the_server_hung_up_is_read_though_writing_fails() -> None:
    server = ScriptedServer(lockstep=True)
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.transport.receive_some(10_000)  # the preface; the request is being written when this ends
        connection.http2.receive_data(PREFACE_AND_REQUEST)
        connection.http2.send_headers(1, HEAD)
        connection.http2.send_data(1, b"\0\0\0\0\1x")
        connection.http2.send_headers(1, [("grpc-status", "0")], end_stream=True)
        connection.transport.receive_stream.close()
        await connection.flush()
    assert [b"x"] == outcomes


async def test_a_server_that_went_and_is_not_back_is_not_connected() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, channel, outcomes)
            connection = await server.accept()
            await connection.request()
            await connection.transport.aclose()
        server.listening = False
        with pytest.raises(NotConnectedError):
            await unary(channel)


async def test_calls_on_a_closed_channel_fail() -> None:
    server = ScriptedServer()
    async with server.channel() as channel:
        pass
    with pytest.raises(ConnectionLostError, match="channel to the scripted server is closed"):
        await unary(channel)


async def test_calls_that_outlive_the_channel_fail() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    channels = AsyncExitStack()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome, await channels.enter_async_context(server.channel()), outcomes)
        await (await server.accept()).request()
        await channels.aclose()
    assert [ConnectionLostError] == list(map(type, outcomes))


async def test_a_call_that_is_connecting_while_the_channel_is_closed_fails_and_leaves_no_connection() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    channels = AsyncExitStack()
    async with trio.open_nursery() as nursery:
        closed = trio.Event()
        server.delay = closed.wait
        nursery.start_soon(outcome, await channels.enter_async_context(server.channel()), outcomes)
        connection = await server.accept()
        await channels.aclose()
        closed.set()
        with pytest.raises(trio.EndOfChannel):
            await connection.request()
    assert [ConnectionLostError] == list(map(type, outcomes))


async def test_a_channel_gives_its_tasks_and_streams_back() -> None:
    server = ScriptedServer()
    before = trio.lowlevel.current_statistics().tasks_living
    async with server.channel() as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(unary, channel)
            connection = await server.accept()
            await connection.answer(await connection.request())
        assert {} == channel._connections[0].session.streams
    assert before == trio.lowlevel.current_statistics().tasks_living


async def test_something_that_is_not_http2_is_told_so_with_a_goaway() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.transport.send_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await connection.expect(events.ConnectionTerminated)
    assert "started with b'HTTP/1.1 '" in str(outcomes[0])
    assert [ProtocolViolationError] == list(map(type, outcomes))


async def test_a_frame_larger_than_allowed_ends_the_connection_with_a_goaway() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.request()
        await connection.transport.send_all((20_000).to_bytes(3) + bytes(6 + 20_000))
        await connection.expect(events.ConnectionTerminated)
    assert [ProtocolViolationError] == list(map(type, outcomes))


async def test_when_the_stream_ids_are_used_up_the_next_call_connects_again() -> None:
    server = ScriptedServer()
    outcomes: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(outcome, channel, outcomes)
        connection = await server.accept()
        await connection.answer(await connection.request())
        await trio.testing.wait_all_tasks_blocked()
        channel._connections[0].session._http2.highest_outbound_stream_id = 2**31 - 1
        nursery.start_soon(outcome, channel, outcomes)
        second = await server.accept()
        await second.answer(await second.request(), b"second")
    assert [b"", b"second"] == outcomes


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4) + body


OK, REFUSED = b"\0\x0bgrpc-status\x010", b"\0\x0bgrpc-status\x017"
"""Header blocks of one literal header."""

SENSIBLE_FRAMES = st.sampled_from(
    [
        frame(0, 0, 1, b"\0\0\0\0\1x"),
        frame(0, 0, 1, b"\0\0\0\0\4x"),
        frame(0, 1, 1, b""),
        frame(1, 5, 1, OK),
        frame(1, 5, 1, REFUSED),
        frame(1, 4, 3, b"\x88\x5f\x10application/grpc"),
        frame(1, 5, 3, b"\x88" + REFUSED),
        frame(3, 0, 1, bytes(4)),
        frame(3, 0, 3, b"\0\0\0\7"),
        frame(4, 0, 0, b"\0\3\0\0\0\1"),
        frame(4, 0, 0, b"\0\4\0\0\0\0"),
        frame(6, 0, 0, bytes(8)),
        frame(7, 0, 0, b"\0\0\0\1\0\0\0\0"),
        frame(8, 0, 0, b"\0\0\0\1"),
    ]
)
ANY_FRAME = st.builds(
    frame,
    st.integers(0, 11),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x25, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]),
    st.binary(max_size=20),
)
WHATEVER = st.one_of(
    st.lists(SENSIBLE_FRAMES, max_size=12),
    st.lists(st.one_of(SENSIBLE_FRAMES, SENSIBLE_FRAMES, SENSIBLE_FRAMES, ANY_FRAME), max_size=12),
    st.lists(st.binary(max_size=30), max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(WHATEVER, st.booleans())
async def test_whatever_a_server_sends_only_our_errors_come_out(
    pieces: list[bytes],
    polite: bool,  # noqa: FBT001 (drawn)
) -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def call(cardinality: Cardinality) -> None:
            with contextlib.suppress(GRPCError, RpcError):
                async with channel.request("/t.T/Call", cardinality, RawMessage, RawMessage) as stream:
                    await stream.send_message(A, end=True)
                    async for _ in stream:
                        pass

        async def serve_again() -> None:
            while True:
                await (await server.accept()).transport.aclose()

        nursery.start_soon(call, Cardinality.UNARY_STREAM)
        connection = await server.accept()
        nursery.start_soon(serve_again)
        nursery.start_soon(call, Cardinality.UNARY_UNARY)
        if polite:
            await connection.request()
            connection.http2.send_headers(1, HEAD)
            await connection.flush()
        with contextlib.suppress(trio.BrokenResourceError):
            for piece in pieces:
                await connection.transport.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
            await connection.transport.send_eof()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
