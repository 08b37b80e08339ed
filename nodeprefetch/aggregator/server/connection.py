"""One accepted connection: Hypercorn's protocols over a stream, with a deadline on all that is waited for.

Hypercorn's own class for this would stay after its client has gone, send without a limit of time, leave an HTTP/2
connection without requests open for ever, and let a handler go on for a client that has taken its request back.
"""

import select
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from nodeprefetch.aggregator.counters import Counters
from nodeprefetch.aggregator.server.http2 import Http2
from nodeprefetch.aggregator.server.places import Place
from nodeprefetch.aggregator.settings import Bounds

Kind = type[H11Protocol] | type[Http2]

_CLOSING = 1.0
"""Seconds for TLS to say that it ends."""

_RECEIVED = 16 << 10
"""Bytes that are read at once. More would be many small frames that are all worked on before anybody else's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What all connections have in common."""

    bounds: Bounds
    counters: Counters
    config: Config
    context: WorkerContext
    tls: ssl.SSLContext | None


class _Handlers(TaskGroup):
    """Tasks that answer requests; each is cancelled when its stream is closed, whoever closes it."""

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        """Start a handler. Returns what takes the parts of its request."""
        handling = trio.CancelScope()
        put, take = trio.open_memory_channel[Any](config.max_app_queue_size)

        async def handle() -> None:
            try:
                with handling, take:
                    await app(scope, take.receive, send, trio.to_thread.run_sync, trio.from_thread.run)
            except Exception:  # noqa: BLE001 - it ends this request alone
                await config.log.exception("Error in ASGI Framework")
            await send(None)  # not when the connection itself ends: nothing can be said any more

        async def forward(message: Any) -> None:
            if message["type"] == "http.disconnect":
                handling.cancel()
                return
            with suppress(trio.BrokenResourceError):  # the handler has ended, and takes no more
                await put.send(message)

        self.spawn(handle)
        return forward


class _Http1(H11Protocol):
    """HTTP/1.1. An upgrade to HTTP/2 is not offered; that begins with its preface (RFC 9113, section 3.3)."""

    def __init__(self, *hypercorns: Any) -> None:
        super().__init__(*hypercorns)
        self._send_on = self.send
        self.send = self._send_in_order
        self._has_refused = False

    async def _send_in_order(self, event: Event) -> None:
        """Nonsense after a request ends the connection, but an answer that has begun comes to its end first."""
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


class Connection:
    """One accepted connection.

    Args:
        terms: what it has in common with the others.
        stream: as accepted; closed at the end.
    """

    def __init__(self, terms: Terms, stream: trio.SocketStream) -> None:
        self._terms = terms
        self._socket = stream.socket
        self._stream: trio.SocketStream | trio.SSLStream[trio.SocketStream] = stream
        if terms.tls is not None:
            self._stream = trio.SSLStream(stream, terms.tls, server_side=True, https_compatible=True)
        self._idle_time = inf
        self._place: Place | None = None
        self._reading = trio.CancelScope()
        self._send_lock = trio.Lock()
        self._sends: set[trio.CancelScope] = set()
        self._has_ended = False
        self._protocol: H11Protocol | Http2
        self.is_idle = True
        """No request is under way; half a head is none."""

    async def run(self, app: AppWrapper, idle_time: float, place: Place | None = None) -> None:
        """Serve it until either side ends it.

        Args:
            app: what answers.
            idle_time: seconds that it may be idle.
            place: told when it is idle and when not.
        """
        self._idle_time, self._place = idle_time, place
        self._note_idle()
        try:
            with self._reading:
                if isinstance(self._stream, trio.SSLStream):
                    with trio.fail_after(self._terms.config.ssl_handshake_timeout):
                        await self._stream.do_handshake()
                async with _Handlers() as handlers:
                    self._protocol = self._make_protocol(app, handlers, self._first_kind())
                    await self._protocol.initiate()
                    await self._read(app, handlers)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            return
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSING):
                await self._stream.aclose()

    def leave(self) -> bool:
        """End now if nothing is under way, and nothing waits to be read. Returns whether it does."""
        if not self.is_idle or self._socket.fileno() < 0 or self._has_news():
            return False
        return self.end()

    def _has_news(self) -> bool:
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def end(self) -> bool:
        """End now, whatever is under way. Returns True: it does."""
        self._has_ended = True
        for sending in self._sends:
            sending.cancel()
        self._reading.cancel()
        return True

    def _first_kind(self) -> Kind:
        if isinstance(self._stream, trio.SSLStream) and self._stream.selected_alpn_protocol() == "h2":
            return Http2
        return _Http1

    def _make_protocol(self, app: AppWrapper, handlers: TaskGroup, kind: Kind) -> H11Protocol | Http2:
        terms = self._terms
        arguments: Any = (
            app,
            terms.config,
            terms.context,
            handlers,
            ConnectionState({}),
            terms.tls is not None,
            parse_socket_addr(self._socket.family, self._socket.getpeername()),
            parse_socket_addr(self._socket.family, self._socket.getsockname()),
            self._send,
        )
        if kind is Http2:
            return Http2(*arguments, bounds=terms.bounds, counters=terms.counters)
        return _Http1(*arguments)

    async def _read(self, app: AppWrapper, handlers: TaskGroup) -> None:
        while data := await self._received():
            if self._reading.cancel_called:  # it came in the last moment; half of its answer would be worse than none
                break
            try:
                await self._protocol.handle(RawData(data))
            except H2ProtocolAssumedError as preface:
                self._protocol = self._make_protocol(app, handlers, Http2)
                self._note_idle()
                await self._protocol.initiate()
                await self._protocol.handle(RawData(preface.data))
        self.end()

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
            self.end()
        elif isinstance(event, Updated):
            if event.idle:
                self._note_idle()
            else:
                self._note_busy()

    async def _send_data(self, data: bytes) -> None:
        """Send it whole or end the connection: a part of it, or a frame left out, would make the rest nonsense."""
        if self._has_ended:
            await trio.lowlevel.checkpoint()  # whoever sends is cancelled, and finds out here
            return
        patience = trio.CancelScope(shield=True, deadline=trio.current_time() + self._terms.bounds.stuck_time)
        self._sends.add(patience)
        try:
            with patience:
                await self._send_alone(data)
                return
            if not self._has_ended:
                self._terms.counters.stuck_answers += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._sends.discard(patience)
        self.end()
        await trio.lowlevel.checkpoint()

    async def _send_alone(self, data: bytes) -> None:
        try:
            self._send_lock.acquire_nowait()  # `acquire` would let all other tasks go first, also where it is free
        except trio.WouldBlock:
            await self._send_lock.acquire()
        try:
            await self._stream.send_all(data)
        finally:
            self._send_lock.release()

    def _note_idle(self) -> None:
        self.is_idle = True
        self._reading.deadline = trio.current_time() + self._idle_time
        if self._place is not None:
            self._place.become_idle()
        if self._terms.context.terminated.is_set():
            self._reading.cancel()

    def _note_busy(self) -> None:
        self.is_idle = False
        self._reading.deadline = inf
        if self._place is not None:
            self._place.become_busy()
