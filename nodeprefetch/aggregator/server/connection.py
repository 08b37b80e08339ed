"""One accepted connection: runs Hypercorn's protocols over a stream, with a deadline for everything it waits for.

Hypercorn's own class would stay open after its client has gone, send without a timeout, leave an HTTP/2 connection
without requests open forever, and let a handler continue after its client has cancelled the request.
"""

import select
import ssl
from dataclasses import dataclass
from math import inf
from typing import Any

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from nodeprefetch.aggregator.counters import Counters
from nodeprefetch.aggregator.server.handlers import Handlers
from nodeprefetch.aggregator.server.http2 import Http2
from nodeprefetch.aggregator.server.slots import ConnectionSlot
from nodeprefetch.aggregator.settings import Bounds

Kind = type[H11Protocol] | type[Http2]

_CLOSING = 1.0
"""Seconds for the closing handshake of TLS."""

_RECEIVED = 16 << 10
"""Bytes that are read at once. More could be many small frames, all processed before those of other clients."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerContext:
    """What all connections share."""

    bounds: Bounds
    counters: Counters
    config: Config
    context: WorkerContext
    tls: ssl.SSLContext | None


class _Http1(H11Protocol):
    """HTTP/1.1 without upgrade to HTTP/2, which must begin with its preface (RFC 9113, section 3.3)."""

    def __init__(self, *hypercorns: Any) -> None:
        super().__init__(*hypercorns)
        self._send_on = self.send
        self.send = self._send_in_order
        self._has_refused = False

    async def _send_in_order(self, event: Event) -> None:
        """Finish a response that has begun before invalid data after the request closes the connection."""
        has_begun = self.connection.our_state in {h11.SEND_BODY, h11.DONE, h11.MUST_CLOSE} and not self._has_refused
        if isinstance(event, Closed) and self.stream is not None and has_begun:
            await self.can_read.clear()
            await self.can_read.wait()
        else:
            await self._send_on(event)

    async def _send_error_response(self, status_code: int) -> None:
        self._has_refused = True
        await super()._send_error_response(status_code)

    async def _check_protocol(self, event: h11.Request) -> None:
        if event.method == b"PRI":
            await super()._check_protocol(event)


class HttpConnection:
    """One accepted connection.

    Args:
        server: what it shares with other connections.
        stream: the accepted stream; closed at the end.
    """

    def __init__(self, server: ServerContext, stream: trio.SocketStream) -> None:
        self._server = server
        self._socket = stream.socket
        self._stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = stream
        if server.tls is not None:
            self._stream = trio.SSLStream(stream, server.tls, server_side=True, https_compatible=True)
        self._idle_time = inf
        self._slot: ConnectionSlot | None = None
        self._reading = trio.CancelScope()
        self._send_lock = trio.Lock()
        self._sends: set[trio.CancelScope] = set()
        self._is_closed = False
        self._protocol: H11Protocol | Http2
        self.is_idle = True
        """Whether no request is pending; an incomplete head does not count."""

    async def run(self, app: AppWrapper, idle_time: float, slot: ConnectionSlot | None = None) -> None:
        """Serve it until either side ends it.

        Args:
            app: the application.
            idle_time: seconds that the connection may be idle.
            slot: marked idle and busy.
        """
        self._idle_time, self._slot = idle_time, slot
        self._note_idle()
        handlers = Handlers()
        try:
            with self._reading:
                if isinstance(self._stream, trio.SSLStream):
                    with trio.fail_after(self._server.config.ssl_handshake_timeout):
                        await self._stream.do_handshake()
                async with handlers:
                    self._protocol = self._make_protocol(app, handlers, self._first_kind())
                    await self._protocol.initiate()
                    await self._read(app, handlers)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            return
        finally:
            handlers.end()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSING):
                await self._stream.aclose()

    def close_if_idle(self) -> bool:
        """Close now if no request is pending or waiting to be read. Returns whether it does."""
        if not self.is_idle or self._socket.fileno() < 0 or self._has_unread_data():
            return False
        return self.close()

    def _has_unread_data(self) -> bool:
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> bool:
        """Close now, whatever is pending. Returns True."""
        self._is_closed = True
        for sending in self._sends:
            sending.cancel()
        self._reading.cancel()
        return True

    def _first_kind(self) -> Kind:
        if isinstance(self._stream, trio.SSLStream) and self._stream.selected_alpn_protocol() == "h2":
            return Http2
        return _Http1

    def _make_protocol(self, app: AppWrapper, handlers: Handlers, kind: Kind) -> H11Protocol | Http2:
        server = self._server
        arguments: Any = (
            app,
            server.config,
            server.context,
            handlers,
            ConnectionState({}),
            server.tls is not None,
            parse_socket_addr(self._socket.family, self._socket.getpeername()),
            parse_socket_addr(self._socket.family, self._socket.getsockname()),
            self._send,
        )
        if kind is Http2:
            return Http2(*arguments, bounds=server.bounds, counters=server.counters)
        return _Http1(*arguments)

    async def _read(self, app: AppWrapper, handlers: Handlers) -> None:
        while data := await self._received():
            if self._reading.cancel_called:  # arrived in the last moment: half a response would be worse than none
                break
            try:
                await self._protocol.handle(RawData(data))
            except H2ProtocolAssumedError as preface:
                self._protocol = self._make_protocol(app, handlers, Http2)
                self._note_idle()
                await self._protocol.initiate()
                await self._protocol.handle(RawData(preface.data))
        self.close()

    async def _received(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(_RECEIVED))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            if event.data:
                await self._send_data(event.data)
        elif isinstance(event, Closed):
            self.close()
        elif isinstance(event, Updated):
            if event.idle:
                self._note_idle()
            else:
                self._note_busy()

    async def _send_data(self, data: bytes) -> None:
        """Send all of it or close the connection: after a missing part or frame the rest would be invalid."""
        if self._is_closed:
            await trio.lowlevel.checkpoint()  # lets the cancelled sender notice
            return
        timeout = trio.CancelScope(shield=True, deadline=trio.current_time() + self._server.bounds.stuck_time)
        self._sends.add(timeout)
        try:
            with timeout:
                await self._send_alone(data)
                return
            if not self._is_closed:
                self._server.counters.stuck_answers += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._sends.discard(timeout)
        self.close()
        await trio.lowlevel.checkpoint()

    async def _send_alone(self, data: bytes) -> None:
        try:
            self._send_lock.acquire_nowait()  # `acquire` lets all other tasks run first, even if the lock is free
        except trio.WouldBlock:
            await self._send_lock.acquire()
        try:
            await self._stream.send_all(data)
        finally:
            self._send_lock.release()

    def _note_idle(self) -> None:
        self.is_idle = True
        self._reading.deadline = trio.current_time() + self._idle_time
        if self._slot is not None:
            self._slot.mark_idle()
        if self._server.context.terminated.is_set():
            self._reading.cancel()

    def _note_busy(self) -> None:
        self.is_idle = False
        self._reading.deadline = inf
        if self._slot is not None:
            self._slot.mark_busy()
