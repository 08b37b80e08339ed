"""The HTTP/2 part of a connection, without I/O: calls fill a buffer, and received bytes wake the calls."""

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
"""Bytes in the buffer before callers must wait."""

_FRAME_HEADER = 9
_SETTINGS_HEADER = re.compile(rb"\0[\0-\x40].\x04\0\0{4}", re.DOTALL)
"""A SETTINGS frame of at most 16 KiB, in stream 0, without the ACK flag."""

Reply = TypeVar("Reply", bound=Message)


class Session:
    """The streams of one connection.

    Args:
        peer: name of the server in errors.
        max_message: size limit of received messages, in bytes.
        wake_writer: called after frames are added to the buffer.
        finish: called when the session has nothing more to do.
        spawn: runs a function in the background, for as long as the connection exists.
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
        """Active calls by stream ID."""
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
        """Whether new calls can start here."""
        return not (self._failed or self._retired)

    async def open_stream(
        self,
        make_headers: Callable[[], list[tuple[str, str]]],
        cardinality: Cardinality,
        reply_type: type[Reply],
    ) -> Stream[Reply] | None:
        """Start a call as soon as the server accepts another one; None, with nothing sent, if it cannot start.

        Args:
            make_headers: called when the call starts, as the headers contain the time left.
            cardinality: which sides send several messages.
            reply_type: type of the messages to receive.
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
        # Until the server announces its limit, one call is always allowed. Even the first call cannot wait for that: a
        # multiplexer in front of the server may need to see a request first.
        limit = self._http2.remote_settings.max_concurrent_streams if self._settings_seen else 1
        return self._http2.open_outbound_streams < limit

    async def send_data(self, stream: Stream[Reply], data: bytes, *, end: bool) -> None:
        """Send data as fast as the server's flow control allows. Does nothing if the stream has ended."""
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
                self.release(stream)  # half a message was sent: nothing valid can follow
            raise

    def _room_to_send(self, stream: Stream[Reply]) -> int:
        window = self._http2.local_flow_control_window(stream.stream_id)
        return max(0, min(window, self._http2.max_outbound_frame_size, _WRITE_AHEAD - self._buffered))

    def acknowledge(self, stream: Stream[Reply], size: int) -> None:
        """Enlarge the window of the stream again, in large steps."""
        stream.unacknowledged += size
        if stream.unacknowledged >= STREAM_WINDOW // 2 and not stream.is_over and not self._failed:
            self._http2.increment_flow_control_window(stream.unacknowledged, stream.stream_id)
            stream.unacknowledged = 0
            self._wake_writer()

    def release(self, stream: Stream[Reply]) -> None:
        """Remove the stream. Resets it (CANCEL) unless it has ended on both sides."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        if not (self._failed or stream.reset or (stream.end_received and stream.end_sent)):
            self._http2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
            self._wake_writer()
        self._wake_callers()
        self._finish_if_done()

    def take_buffer(self) -> bytes:
        """Return the bytes to write."""
        data = self._http2.data_to_send()
        if data:
            self._buffered = 0
            self._room.unpark_all()
        return data

    def receive(self, data: bytes) -> None:
        """Process bytes from the server.

        Raises:
            ProtocolViolationError: they are not HTTP/2. All calls have failed, and a GOAWAY is in the buffer.
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
        # h2 processes whole frames, and the start of "HTTP/1.1 400 Bad Request" looks like a frame of five million
        # bytes. But a server must start with SETTINGS (RFC 9113, section 3.4), which can be checked at once.
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
                # On arrival, not when consumed: one slow reader must not block the others.
                self._unacknowledged += event.flow_controlled_length
                if self._unacknowledged >= CONNECTION_WINDOW // 2:
                    self._http2.increment_flow_control_window(self._unacknowledged)
                    self._unacknowledged = 0
        # h2 itself responds to pings and settings.
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
        """Accept no more calls; the session ends with the last active one."""
        self._retired = True
        self._wake_callers()
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._retired and not self._finished and not self.streams:
            self._finished = True
            self._finish()

    def fail(self, kind: Callable[[str], RpcError], text: str, cause: Exception | None = None) -> None:
        """Let all calls fail, and accept no more."""
        self._failed = True
        for stream in self.streams.values():
            error = kind(text)  # one per call, as a raised exception collects tracebacks
            error.__cause__ = cause
            stream.fail(error)
        self._wake_callers()
