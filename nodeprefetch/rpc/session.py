"""The HTTP/2 side of a connection, without I/O: calls fill a buffer, received bytes wake the calls."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
from grpclib.const import Cardinality
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, NoAvailableStreamIDError, ProtocolError

from nodeprefetch.errors import ConnectionLostError, ProtocolViolationError, RpcError, StreamResetError
from nodeprefetch.rpc.http2 import CONNECTION_WINDOW, STREAM_WINDOW, start_http2
from nodeprefetch.rpc.message import Message
from nodeprefetch.rpc.stream import Stream

_WRITE_AHEAD = 256 * 1024
"""Bytes that may lie in the buffer before callers have to wait."""

_FRAME_HEADER = 9
_SETTINGS_HEADER = re.compile(rb"\0[\0-\x40].\x04\0\0{4}", re.DOTALL)
"""A SETTINGS frame of at most 16 KiB, in stream 0, that acknowledges nothing."""

Reply = TypeVar("Reply", bound=Message)


class Session:
    """The streams of one connection.

    Args:
        peer: what to call the server in errors.
        max_message: the largest message accepted, in bytes.
        wake_writer: called when frames have been put into the buffer.
        finish: called when the session has no more to do.
        spawn: runs something beside the caller, as long as the connection lives.
    """

    def __init__(
        self,
        *,
        peer: str,
        max_message: int,
        wake_writer: Callable[[], None],
        finish: Callable[[], None],
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
    ) -> None:
        self.spawn = spawn
        self.streams: dict[int, Stream[Any]] = {}
        """The calls there are, by stream ID."""
        self._peer = peer
        self._max_message = max_message
        self._wake_writer = wake_writer
        self._finish = finish
        self._http2 = start_http2()
        self._preface = bytearray()
        self._failed = False
        self._retired = False
        self._finished = False
        self._settings_seen = False
        self._buffered = 0
        self._unacknowledged = 0
        self._slots = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()

    @property
    def usable(self) -> bool:
        """Whether new calls may begin here."""
        return not (self._failed or self._retired)

    async def open_stream(
        self,
        make_headers: Callable[[], list[tuple[str, str]]],
        cardinality: Cardinality,
        reply_type: type[Reply],
    ) -> Stream[Reply] | None:
        """Begin a call as soon as the server accepts one more; None, and nothing sent, when it cannot be.

        Args:
            make_headers: asked when the call begins, since the time left is one of them.
            cardinality: which sides send several messages.
            reply_type: what the answer's messages are.
        """
        while self.usable and not self._has_slot():
            await self._slots.park()
        if not self.usable:
            return None
        headers = make_headers()
        try:
            stream_id = self._http2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self.retire()
            return None
        self._http2.send_headers(stream_id, headers)
        self._wake_writer()
        stream = Stream(self, stream_id, cardinality, reply_type, max_message=self._max_message)
        self.streams[stream_id] = stream
        return stream

    def _has_slot(self) -> bool:
        # Before the server has said how many calls it takes at once, one is sure to be fine. Waiting for that
        # word even with the first would not do: a multiplexer in front may want to see a request first.
        limit = self._http2.remote_settings.max_concurrent_streams if self._settings_seen else 1
        return self._http2.open_outbound_streams < limit

    async def send_data(self, stream: Stream[Reply], data: bytes, *, end: bool) -> None:
        """Send, as fast as the server's flow control lets us; silently nothing once the stream is over."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        try:
            while not stream.is_over and stream.stream_id in self.streams:
                size = min(len(rest), self._room_to_send(stream))
                if not size and rest:
                    await self._room.park()
                    continue
                done = size == len(rest)
                self._http2.send_data(stream.stream_id, bytes(rest[:size]), end_stream=end and done)
                rest = rest[size:]
                self._buffered += size
                self._wake_writer()
                if done:
                    stream.end_sent = end
                    return
        except trio.Cancelled:
            if 0 < len(rest) < len(data):
                self.release(stream)  # half a message is out: nothing sensible can follow
            raise

    def _room_to_send(self, stream: Stream[Reply]) -> int:
        window = self._http2.local_flow_control_window(stream.stream_id)
        return max(0, min(window, self._http2.max_outbound_frame_size, _WRITE_AHEAD - self._buffered))

    def acknowledge(self, stream: Stream[Reply], size: int) -> None:
        """Open the stream's window again, in large steps."""
        stream.unacknowledged += size
        if stream.unacknowledged >= STREAM_WINDOW // 2 and not stream.is_over and not self._failed:
            self._http2.increment_flow_control_window(stream.unacknowledged, stream.stream_id)
            stream.unacknowledged = 0
            self._wake_writer()

    def release(self, stream: Stream[Reply]) -> None:
        """Forget the stream; unless it has ended on both sides, tell the server that nobody wants it."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        if not (self._failed or stream.reset or (stream.end_received and stream.end_sent)):
            self._http2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
            self._wake_writer()
        self._wake_callers()
        self._finish_if_done()

    def take_buffer(self) -> bytes:
        """What lies ready to be written."""
        data = self._http2.data_to_send()
        if data:
            self._buffered = 0
            self._room.unpark_all()
        return data

    def receive(self, data: bytes) -> None:
        """Take in bytes from the server.

        Raises:
            ProtocolViolationError: they are not HTTP/2. All calls have failed, a GOAWAY lies ready.
        """
        try:
            self._check_preface(data)
            for event in self._http2.receive_data(data):
                self._handle(event)
        except H2Error as exc:
            text = f"{self._peer} violated HTTP/2: {exc}"
            self.fail(ProtocolViolationError, text, exc)
            raise ProtocolViolationError(text) from exc
        self._wake_writer()

    def _check_preface(self, data: bytes) -> None:
        # h2 looks at a frame when it has come whole, and the beginning of "HTTP/1.1 400 Bad Request" would be a frame
        # of five million bytes. A server begins with SETTINGS (RFC 9113, section 3.4): that can be seen at once.
        if len(self._preface) < _FRAME_HEADER:
            self._preface += data[: _FRAME_HEADER - len(self._preface)]
            if len(self._preface) == _FRAME_HEADER and not _SETTINGS_HEADER.fullmatch(self._preface):
                self._http2.close_connection(ErrorCodes.PROTOCOL_ERROR)
                raise ProtocolError(f"started with {bytes(self._preface)!r}")

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.RemoteSettingsChanged():
                self._settings_seen = True
                self._wake_callers()
            case events.WindowUpdated():
                self._room.unpark_all()
            case events.ConnectionTerminated():
                last = event.last_stream_id or 0
                for stream in self.streams.values():
                    if stream.stream_id > last:
                        stream.fail(ConnectionLostError(f"{self._peer} is shutting down and did not accept the call"))
                self.retire()
            case events.DataReceived():
                # As it arrives, not as it is consumed: one slow reader must not stop the others.
                self._unacknowledged += event.flow_controlled_length
                if self._unacknowledged >= CONNECTION_WINDOW // 2:
                    self._http2.increment_flow_control_window(self._unacknowledged)
                    self._unacknowledged = 0
        # Pings and settings are answered by h2.
        found = self.streams.get(getattr(event, "stream_id", None) or 0)
        if found is not None:
            self._handle_in_stream(found, event)

    def _handle_in_stream(self, stream: Stream[Any], event: events.Event) -> None:
        match event:
            case events.ResponseReceived():
                stream.receive_headers(list(event.headers))
            case events.DataReceived():
                stream.receive_data(event.data, event.flow_controlled_length)
            case events.TrailersReceived():
                stream.receive_trailers(list(event.headers))
            case events.StreamEnded():
                stream.receive_end()
                self._wake_callers()
            case events.StreamReset():
                stream.reset = True
                known = event.error_code
                name = known.name if isinstance(known, ErrorCodes) else f"{known:#x}"
                if event.remote_reset:
                    stream.fail(StreamResetError(f"{self._peer} reset the call: {name}", code=int(known)))
                else:
                    stream.fail(ProtocolViolationError(f"{self._peer} violated HTTP/2: {name}"))
                self._wake_callers()

    def _wake_callers(self) -> None:
        self._slots.unpark_all()
        self._room.unpark_all()

    def retire(self) -> None:
        """Take no more calls; the session ends with the last one there is."""
        self._retired = True
        self._wake_callers()
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._retired and not self._finished and not self.streams:
            self._finished = True
            self._finish()

    def fail(self, kind: Callable[[str], RpcError], text: str, cause: Exception | None = None) -> None:
        """All calls have failed, and no more can begin."""
        self._failed = True
        for stream in self.streams.values():
            error = kind(text)  # one for each: a raised exception collects its raisers' tracebacks
            error.__cause__ = cause
            stream.fail(error)
        self._wake_callers()
