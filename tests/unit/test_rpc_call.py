"""One call as the server sees it, frame by frame."""

import math
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

import pytest
import trio
from h2 import events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from trio.testing import MockClock

from nodeprefetch.errors import NotConnectedError, ProtocolViolationError, StreamResetError
from nodeprefetch.rpc import Cardinality, Channel, GRPCError, ServiceStub, Status, Stream
from tests.support.grpc_script import HEAD, RawMessage, ScriptedConnection, ScriptedServer

A, B = RawMessage(b"a"), RawMessage(b"b")


async def unary(channel: Channel, message: RawMessage = A, **options: object) -> RawMessage:
    return await ServiceStub(channel)._unary_unary("/t.T/Call", message, RawMessage, **options)


def open_streaming(channel: Channel) -> AbstractAsyncContextManager[Stream[RawMessage]]:
    return channel.request("/t.T/Call", Cardinality.STREAM_STREAM, RawMessage, RawMessage)


async def settled(server: ScriptedServer, channel: Channel) -> ScriptedConnection:
    """A connection whose first call is over, so that the client knows the server's settings, its window for one."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel, RawMessage(b""))
        connection = await server.accept()
        await connection.answer(await connection.request())
    return connection


async def answered_by(script: object, **options: object) -> RawMessage:
    """The outcome of a unary call that the script answers; the script gets the connection and the stream ID."""
    server = ScriptedServer(**options)

    async def serve() -> None:
        connection = await server.accept()
        stream_id = await connection.request()
        await connection.message(stream_id)
        await script(connection, stream_id)

    outcome: list[object] = []
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            outcome.append(await unary(channel))
        except Exception as exc:  # noqa: BLE001 (the test looks at it)
            outcome.append(exc)
        nursery.cancel_scope.cancel()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


async def test_a_call_has_these_headers() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(partial(unary, channel, metadata={"x-a": "1", "y-bin": b"\0"}))
        connection = await server.accept()
        request = await connection.expect(events.RequestReceived)

        assert [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/t.T/Call"),
            (":authority", "scripted"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "nodeprefetch"),
            ("x-a", "1"),
            ("y-bin", "AA"),
        ] == request.headers
        assert b"\0\0\0\0\1a" == await connection.message(request.stream_id)

        await connection.answer(request.stream_id)


async def test_a_stub_has_metadata_for_calls_that_bring_none() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        stub = ServiceStub(channel, metadata={"x": "stub"})
        nursery.start_soon(stub._unary_unary, "/t.T/Call", A, RawMessage)
        connection = await server.accept()
        request = await connection.expect(events.RequestReceived)

        assert ("x", "stub") in request.headers
        await connection.answer(request.stream_id)


async def test_the_answer_comes_with_its_metadata() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def serve() -> None:
            connection = await server.accept()
            stream_id = await connection.request()
            await connection.send_head(stream_id, ("a", "1"))
            await connection.send_message(stream_id, b"x")
            await connection.send_status(stream_id, 0, ("b-bin", "AA"))

        nursery.start_soon(serve)
        async with channel.request("/t.T/Call", Cardinality.UNARY_UNARY, RawMessage, RawMessage) as stream:
            await stream.send_message(A, end=True)
            assert RawMessage(b"x") == await stream.recv_message()
            assert await stream.recv_message() is None
            assert ("a", "1") in stream.initial_metadata
            assert (("grpc-status", "0"), ("b-bin", b"\0")) == stream.trailing_metadata


async def test_the_deadline_of_the_scope_goes_along(autojump_clock: MockClock) -> None:
    """1.5 s are left when the call begins: 2 s minus the half second slept."""
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def call() -> None:
            with trio.move_on_after(2):
                await trio.sleep(0.5)
                await unary(channel)

        nursery.start_soon(call)
        request = await (await server.accept()).expect(events.RequestReceived)

        assert "1500m" == dict(request.headers)["grpc-timeout"]


async def test_the_deadline_is_reckoned_when_the_call_begins_not_when_it_queues(autojump_clock: MockClock) -> None:
    """The server takes one call at once; the second waits 3 of its 5 seconds for its turn."""
    server = ScriptedServer({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def second() -> None:
            with trio.fail_after(5):
                await unary(channel)

        nursery.start_soon(unary, channel)
        connection = await server.accept()
        first = await connection.request()
        nursery.start_soon(second)
        await trio.sleep(3)
        await connection.answer(first)
        request = await connection.expect(events.RequestReceived)

        assert "2000m" == dict(request.headers)["grpc-timeout"]
        await connection.answer(request.stream_id)


async def test_a_cancelled_call_is_cancelled_at_the_server(autojump_clock: MockClock) -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def call() -> None:
            with trio.move_on_after(1):
                await unary(channel)

        nursery.start_soon(call)
        connection = await server.accept()
        await connection.message(await connection.request())
        reset = await connection.expect(events.StreamReset)

        assert (1, ErrorCodes.CANCEL) == (trio.current_time(), reset.error_code)


async def test_a_call_cancelled_with_all_around_it_is_cancelled_at_the_server(autojump_clock: MockClock) -> None:
    """The scope is around the channel too, as when a signal ends the program."""
    server = ScriptedServer()

    async def everything() -> None:
        with trio.move_on_after(1):
            async with server.channel() as channel:
                await unary(channel)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(everything)
        connection = await server.accept()
        await connection.message(await connection.request())

        assert ErrorCodes.CANCEL == (await connection.expect(events.StreamReset)).error_code


async def test_a_peer_that_reads_nothing_holds_up_neither_a_cancelled_call_nor_the_end(
    autojump_clock: MockClock,
) -> None:
    """The call ends at its 1 s; the channel gives the writer half a second more."""
    server = ScriptedServer(lockstep=True)
    async with server.channel() as channel:
        with trio.move_on_after(1) as scope:
            await unary(channel)

        assert scope.cancelled_caught
        assert 1 == trio.current_time()

    assert 1.5 == trio.current_time()


async def test_errors_of_the_block_come_out_as_they_are() -> None:
    server = ScriptedServer()
    with pytest.raises(KeyError):
        async with server.channel():
            raise KeyError


async def test_nobody_listening_is_not_connected() -> None:
    server = ScriptedServer()
    server.listening = False
    async with server.channel() as channel:
        with pytest.raises(NotConnectedError):
            await unary(channel)


async def test_an_error_has_status_and_decoded_text() -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        await connection.send_head(stream_id)
        await connection.send_status(stream_id, 5, ("grpc-message", "caf%C3%A9 100%"))

    with pytest.raises(GRPCError) as caught:
        await answered_by(script)

    assert (Status.NOT_FOUND, "café 100%") == (caught.value.status, caught.value.message)


async def test_an_error_may_come_without_a_head() -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        connection.http2.send_headers(
            stream_id, [*HEAD, ("grpc-status", "16"), ("grpc-message", "who?")], end_stream=True
        )
        await connection.flush()

    with pytest.raises(GRPCError) as caught:
        await answered_by(script)

    assert (Status.UNAUTHENTICATED, "who?") == (caught.value.status, caught.value.message)


async def test_an_error_after_the_message_of_a_unary_answer_is_an_error() -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        await connection.send_head(stream_id)
        await connection.send_message(stream_id, b"x")
        await connection.send_status(stream_id, 13)

    with pytest.raises(GRPCError) as caught:
        await answered_by(script)

    assert Status.INTERNAL == caught.value.status


async def test_an_http_error_is_an_answer() -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        connection.http2.send_headers(stream_id, [(":status", "503"), ("content-type", "text/html")])
        connection.http2.send_data(stream_id, b"<html>", end_stream=True)
        await connection.flush()

    with pytest.raises(GRPCError, match="503"):
        await answered_by(script)


@pytest.mark.parametrize(
    ("pieces", "match"),
    [
        ([], "ended without a status"),
        ([b"\0\0\0\0\1x"], "ended without a status"),
        ([b"\0\0\0\0\1x", ("grpc-status", "bad")], "not a number"),
        ([("grpc-status", "0")], "OK without a message"),
        ([b"\0\0\0\0\1x\0\0\0\0\1x", ("grpc-status", "0")], "more than one message"),
        ([b"\0\0\0\0\2x", ("grpc-status", "0")], "inside a message"),
        ([b"\1\0\0\0\1x", ("grpc-status", "0")], "compression"),
        ([b"\0\xff\0\0\0"], "4278190080 bytes"),
    ],
)
async def test_what_is_not_grpc_is_a_violation(pieces: list[object], match: str) -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        connection.http2.send_headers(stream_id, HEAD)
        for piece in pieces:
            if isinstance(piece, bytes):
                connection.http2.send_data(stream_id, piece)
            else:
                connection.http2.send_headers(stream_id, [piece], end_stream=True)
        if not pieces or isinstance(pieces[-1], bytes):
            connection.http2.end_stream(stream_id)
        await connection.flush()

    with pytest.raises(ProtocolViolationError, match=match):
        await answered_by(script)


async def test_another_content_type_is_a_violation() -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        connection.http2.send_headers(stream_id, [(":status", "200"), ("content-type", "text/html")])
        await connection.flush()

    with pytest.raises(ProtocolViolationError, match="text/html"):
        await answered_by(script)


async def test_a_message_that_cannot_be_decoded_is_a_violation() -> None:
    class Picky(RawMessage):
        @classmethod
        def FromString(cls, s: bytes) -> RawMessage:  # noqa: N802 (protobuf's name)
            raise IndexError(s)

    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:

        async def serve() -> None:
            connection = await server.accept()
            await connection.answer(await connection.request(), b"xyz")

        nursery.start_soon(serve)
        with pytest.raises(ProtocolViolationError, match="invalid Picky message of 3 bytes"):
            await ServiceStub(channel)._unary_unary("/t.T/Call", A, Picky)


async def test_a_message_over_the_limit_is_refused_and_the_call_cancelled() -> None:
    server = ScriptedServer()
    async with server.channel(max_message=3) as channel, trio.open_nursery() as nursery:

        async def serve() -> None:
            connection = await server.accept()
            stream_id = await connection.request()
            await connection.send_head(stream_id)
            await connection.send_message(stream_id, b"1234")
            seen.append((await connection.expect(events.StreamReset)).error_code)

        seen: list[object] = []
        nursery.start_soon(serve)
        with pytest.raises(ProtocolViolationError, match="4 bytes, larger than the limit of 3"):
            await unary(channel)
    assert [ErrorCodes.CANCEL] == seen


@pytest.mark.parametrize(
    ("code", "name"), [(ErrorCodes.CANCEL, "CANCEL"), (0xABCD, "0xabcd"), (ErrorCodes.NO_ERROR, "NO_ERROR")]
)
async def test_a_reset_call_has_the_code(code: int, name: str) -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        connection.http2.reset_stream(stream_id, code)
        await connection.flush()

    with pytest.raises(StreamResetError, match=name) as caught:
        await answered_by(script)

    assert int(code) == caught.value.code


async def test_breaking_the_rules_of_http2_in_one_call_is_a_violation() -> None:
    async def script(connection: ScriptedConnection, stream_id: int) -> None:
        frame = b"\0\0\4\x08\0" + stream_id.to_bytes(4) + b"\x7f\xff\xff\xff"  # a window of more than 2^31
        await connection.transport.send_all(frame)

    with pytest.raises(ProtocolViolationError, match="FLOW_CONTROL_ERROR"):
        await answered_by(script)


async def test_an_answer_before_the_request_is_out_ends_the_sending() -> None:
    """The server's window is 10 bytes and stays so: without the answer, sending would last for ever."""
    server = ScriptedServer({SettingCodes.INITIAL_WINDOW_SIZE: 10})
    async with server.channel() as channel, trio.open_nursery() as nursery:
        connection = await settled(server, channel)

        async def serve() -> None:
            stream_id = await connection.request()
            await connection.expect(events.DataReceived, stream_id)
            await connection.send_head(stream_id)
            await connection.send_status(stream_id, 8)
            seen.append((await connection.expect(events.StreamReset)).error_code)

        seen: list[object] = []
        nursery.start_soon(serve)
        with pytest.raises(GRPCError) as caught:
            await unary(channel, RawMessage(bytes(100)))
    assert Status.RESOURCE_EXHAUSTED == caught.value.status
    assert [ErrorCodes.CANCEL] == seen


async def test_a_large_message_goes_through_a_tiny_window() -> None:
    server = ScriptedServer({SettingCodes.INITIAL_WINDOW_SIZE: 7})
    async with server.channel() as channel, trio.open_nursery() as nursery:
        connection = await settled(server, channel)

        async def serve() -> None:
            stream_id = await connection.request()
            received = b""
            while len(received) < 1005:
                event = await connection.expect(events.DataReceived, stream_id)
                received += event.data
                connection.http2.increment_flow_control_window(len(event.data), stream_id)
                sizes.add(len(event.data))
            await connection.answer(stream_id, received)

        sizes: set[int] = set()
        nursery.start_soon(serve)
        assert RawMessage(b"\0\0\0\3\xe8" + bytes(1000)) == await unary(channel, RawMessage(bytes(1000)))
    assert max(sizes) <= 7


async def test_a_reset_ends_the_sending_with_its_error() -> None:
    server = ScriptedServer({SettingCodes.INITIAL_WINDOW_SIZE: 7})
    async with server.channel() as channel, trio.open_nursery() as nursery:
        connection = await settled(server, channel)

        async def serve() -> None:
            stream_id = await connection.request()
            await connection.expect(events.DataReceived, stream_id)
            connection.http2.reset_stream(stream_id, ErrorCodes.ENHANCE_YOUR_CALM)
            await connection.flush()

        nursery.start_soon(serve)
        async with open_streaming(channel) as stream:
            with pytest.raises(StreamResetError, match="ENHANCE_YOUR_CALM"):
                await stream.send_message(RawMessage(bytes(100)))


async def test_a_reset_ends_the_sending_beside_and_the_answer_has_its_error() -> None:
    server = ScriptedServer({SettingCodes.INITIAL_WINDOW_SIZE: 7})
    async with server.channel() as channel, trio.open_nursery() as nursery:
        connection = await settled(server, channel)

        async def serve() -> None:
            stream_id = await connection.request()
            await connection.expect(events.DataReceived, stream_id)
            connection.http2.reset_stream(stream_id, ErrorCodes.ENHANCE_YOUR_CALM)
            await connection.flush()

        nursery.start_soon(serve)
        with pytest.raises(StreamResetError, match="ENHANCE_YOUR_CALM"):
            await ServiceStub(channel)._stream_unary("/t.T/Call", [RawMessage(bytes(100))] * 2, RawMessage, RawMessage)


async def test_half_a_message_cancelled_cancels_the_call(autojump_clock: MockClock) -> None:
    server = ScriptedServer({SettingCodes.INITIAL_WINDOW_SIZE: 7})
    async with server.channel() as channel, AsyncExitStack() as stack:
        connection = await settled(server, channel)
        stream = await stack.enter_async_context(open_streaming(channel))
        stream_id = await connection.request()
        with trio.move_on_after(1):
            await stream.send_message(RawMessage(bytes(100)))

        assert ErrorCodes.CANCEL == (await connection.expect(events.StreamReset, stream_id)).error_code


async def test_a_message_cancelled_before_it_began_leaves_the_call_alone(autojump_clock: MockClock) -> None:
    server = ScriptedServer({SettingCodes.INITIAL_WINDOW_SIZE: 6})
    async with server.channel() as channel, AsyncExitStack() as stack:
        connection = await settled(server, channel)
        stream = await stack.enter_async_context(open_streaming(channel))
        stream_id = await connection.request()
        await stream.send_message(A)
        with trio.move_on_after(1):
            await stream.send_message(A)
        await connection.expect(events.DataReceived, stream_id)
        connection.http2.increment_flow_control_window(12, stream_id)
        await connection.flush()
        await stream.send_message(B, end=True)

        assert b"\0\0\0\0\1b" == await connection.message(stream_id)
        await connection.send_head(stream_id)
        await connection.send_status(stream_id)
        assert await stream.recv_message() is None


async def test_messages_that_came_before_an_error_are_given_out_first() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, open_streaming(channel) as stream:
        connection = await server.accept()
        stream_id = await connection.request()
        await connection.send_head(stream_id)
        await connection.send_message(stream_id, b"1")
        await connection.send_message(stream_id, b"2")
        connection.http2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        await connection.flush()

        assert [b"1", b"2"] == [(await stream.recv_message()).data, (await stream.recv_message()).data]
        for attempt in (stream.recv_message, partial(stream.send_message, A), stream.end):
            with pytest.raises(StreamResetError):
                await attempt()


async def test_an_answer_that_has_come_counts_though_the_connection_is_gone() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, open_streaming(channel) as stream:
        connection = await server.accept()
        await connection.answer(await connection.request(), b"x")
        await connection.transport.send_eof()
        await trio.testing.wait_all_tasks_blocked()

        assert [b"x"] == [message.data async for message in stream]


async def test_leaving_a_call_ends_the_sending_beside() -> None:
    server = ScriptedServer()
    send, receive = trio.open_memory_channel[RawMessage](0)
    async with server.channel() as channel, send:
        async with ServiceStub(channel)._stream_stream("/t.T/Call", receive, RawMessage, RawMessage):
            await trio.testing.wait_all_tasks_blocked()
            assert 1 == receive.statistics().tasks_waiting_receive
        await trio.testing.wait_all_tasks_blocked()

        assert 0 == receive.statistics().tasks_waiting_receive


async def test_a_slow_reader_holds_one_window_of_bytes_and_stops_nobody_else(autojump_clock: MockClock) -> None:
    """The server fills the slow call's window of 1 MiB; another call still gets its 9 MiB, more than
    the connection's window ever is."""
    server = ScriptedServer()
    async with server.channel() as channel, open_streaming(channel) as slow:
        connection = await server.accept()
        slow_id = await connection.request()
        await connection.send_head(slow_id)
        await connection.expect(events.SettingsAcknowledged)
        sent = await fill(connection, slow_id, 1 << 30)
        assert 1024 * 1024 == sent

        async with trio.open_nursery() as nursery:

            async def serve_quick() -> None:
                quick_id = await connection.request()
                await connection.send_head(quick_id)
                left = 9 * 1024 * 1024
                while left:
                    left -= await fill(connection, quick_id, left)
                    if left:
                        await connection.expect(events.WindowUpdated)
                await connection.send_status(quick_id)

            nursery.start_soon(serve_quick)
            async with open_streaming(channel) as quick:
                await quick.end()
                assert 9 * 64 == len([message async for message in quick])

        for _ in range(40):
            await slow.recv_message()
        assert 40 * 16 * 1024 == (await connection.expect(events.WindowUpdated, slow_id)).delta + 8 * 16 * 1024


async def fill(connection: ScriptedConnection, stream_id: int, most: int) -> int:
    """Send messages of 16 KiB with their prefix for as long as the window has room for one; how many bytes."""
    sent = 0
    while sent < most and connection.http2.local_flow_control_window(stream_id) >= 16 * 1024:
        await connection.send_message(stream_id, bytes(16 * 1024 - 5))
        sent += 16 * 1024
    return sent


async def test_no_limit_no_timeout_header() -> None:
    server = ScriptedServer()
    async with server.channel() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(unary, channel)
        connection = await server.accept()
        request = await connection.expect(events.RequestReceived)

        assert math.inf == trio.current_effective_deadline()
        assert "grpc-timeout" not in dict(request.headers)
        await connection.answer(request.stream_id)
