"""Accepts connections and hands each to Hypercorn, within a bound; one that fails harms no other.

Hypercorn's own loop would end the whole server when one connection's protocol raises, as it does on bytes that are
after the end of a stream, and knows no bound; so the loop is here, and Hypercorn serves what it accepts.
"""

import logging
import socket
import ssl
from contextlib import suppress

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from nodeprefetch.aggregator.asgi import App
from nodeprefetch.aggregator.counters import Counters
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.errors import UsageError

_log = logging.getLogger("nodeprefetch.aggregator")
_FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: %d\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
)
_TELLING = 1.0
"""Seconds to tell a client that it is turned away."""

_TOLD_AT_ONCE = 100
_FULL_BODY = b'{"reason":"too_many_connections","error":"too many connections are open"}'


class _Connection(TCPServer):
    """Hypercorn's, but it ends when its client has gone.

    Otherwise it would stay until it had been idle for too long, or for ever where an answer over HTTP/2 is under way.
    """

    _has_ended = False

    async def protocol_send(self, event: Event) -> None:
        if not (self._has_ended and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        await super()._read_data()
        self._has_ended = True
        await self.idle_task.stop()
        protocol = self.protocol.protocol
        if isinstance(protocol, H2Protocol):
            for buffer in list(protocol.stream_buffers.values()):
                await buffer.close()


class Server:
    """Serves applications on sockets.

    Args:
        bounds: of connections and times.
        counters: of connections.
        tls: None for plain text.
    """

    def __init__(self, bounds: Bounds, counters: Counters, tls: ssl.SSLContext | None) -> None:
        self._bounds = bounds
        self._counters = counters
        self._tls = tls
        self._turned_away = 0
        self._context = WorkerContext(None)
        self._config = Config()
        self._config.keep_alive_timeout = bounds.idle_time
        self._config.ssl_handshake_timeout = bounds.body_time
        self._config.keep_alive_max_requests = 1_000_000
        self._config.include_server_header = False
        self._config.max_app_queue_size = 64

    async def serve(self, listener: socket.socket, app: App) -> None:
        """Serve one application on one listening socket until cancelled or stopped; then finish what is under way.

        Whoever cancels gives the time for that.
        """
        wrapped = ASGIWrapper(app)  # type: ignore[arg-type] # their types name each message, ours do not
        accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        async with trio.open_nursery() as connections, accepting, trio.open_nursery() as nursery:
            nursery.start_soon(self._accept, accepting, wrapped, connections)
            await self._context.terminated.wait()
            nursery.cancel_scope.cancel()

    async def stop(self) -> None:
        """Accept nothing more, and close each connection when it has nothing under way."""
        await self._context.terminated.set()

    async def _accept(self, listener: trio.SocketListener, app: ASGIWrapper, connections: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:  # no file descriptors left, most likely
                _log.warning("a connection could not be accepted: %s", error)
                await trio.sleep(0.1)
                continue
            if self._counters.connections >= self._bounds.connections:
                self._counters.refused["too_many_connections"] += 1
                connections.start_soon(self._turn_away, stream)
                continue
            self._counters.connections += 1
            connections.start_soon(self._serve_connection, stream, app)

    async def _serve_connection(self, stream: trio.SocketStream, app: ASGIWrapper) -> None:
        try:
            await _Connection(
                app,
                self._config,
                self._context,
                ConnectionState({}),
                self._secured(stream),  # type: ignore[arg-type] # both kinds are served
            ).run()
        except Exception as error:  # noqa: BLE001 - whatever it is, other connections go on
            self._counters.broken_connections += 1
            _log.debug("a connection broke: %r", error)
        finally:
            self._counters.connections -= 1
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await trio.aclose_forcefully(stream)

    def _secured(self, stream: trio.SocketStream) -> trio.abc.Stream:
        if self._tls is None:
            return stream
        return trio.SSLStream(stream, self._tls, server_side=True, https_compatible=True)

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        """Say why, where it can be said and not too many are being told already; then close."""
        self._turned_away += 1
        try:
            if self._tls is None and self._turned_away <= _TOLD_AT_ONCE:
                with trio.move_on_after(_TELLING), suppress(trio.BrokenResourceError):
                    await stream.send_all(_FULL % (self._bounds.retry_after, len(_FULL_BODY), _FULL_BODY))
                    await stream.send_eof()
                    while await stream.receive_some():  # closing on unread bytes would reset what was said
                        pass
        finally:
            self._turned_away -= 1
            await trio.aclose_forcefully(stream)


def listen(address: str, port: int, bounds: Bounds) -> socket.socket:
    """A listening socket.

    Raises:
        UsageError: the address or port cannot be had.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Accepted sockets inherit these. The kernel ends a connection whose peer is gone, or takes nothing.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(bounds.stuck_time * 1000))
        listener.bind((address, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise UsageError([f"cannot listen on {address} port {port}: {error.strerror or error}"]) from error
    listener.setblocking(False)  # noqa: FBT003 - that is how it is called
    return listener
