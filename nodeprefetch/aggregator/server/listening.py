"""Accepts connections and gives each a slot; one that fails does not affect others.

Hypercorn's own loop ends the whole server when the protocol of one connection raises, as it does for bytes after the
end of a stream, and has no limit. So this loop accepts, and Hypercorn's protocols serve the connections.
"""

import logging
import resource
import socket
import ssl
from contextlib import nullcontext
from dataclasses import replace

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from nodeprefetch.aggregator.counters import Counters
from nodeprefetch.aggregator.server.connection import HttpConnection, ServerContext
from nodeprefetch.aggregator.server.middleware import App, only_probes
from nodeprefetch.aggregator.server.slots import ConnectionSlots
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.errors import UsageError

_log = logging.getLogger("nodeprefetch.aggregator")

_EXTRA_CONNECTIONS = 100
"""Connections beyond the limit, which answer probes and refuse everything else for now."""

_EXTRA_TIME = 5.0
"""Seconds until one of those is closed."""

_OTHER_FILES = 100
"""File descriptors for everything else: the database, listening sockets, token files."""

_SOCKET_BUFFER = 64 << 10
"""Bytes that the kernel buffers for a connection in each direction; it uses twice as much in total."""

_BACKLOG = 4096
"""Connections waiting in the kernel to be accepted; net.core.somaxconn limits this too."""


class Server:
    """Serves applications on sockets.

    Args:
        bounds: limits of connections and times; see `possible`.
        counters: count connections.
        tls: None for plaintext.
    """

    def __init__(self, bounds: Bounds, counters: Counters, tls: ssl.SSLContext | None) -> None:
        config = Config()
        config.ssl_handshake_timeout = bounds.body_time
        config.keep_alive_max_requests = 1_000_000
        config.include_server_header = False
        config.errorlog = _log
        config.max_app_queue_size = 4  # parts of a body; the budget counts them once the handler has them
        config.h2_max_concurrent_streams = bounds.streams
        config.h2_max_header_list_size = config.h11_max_incomplete_size
        context = WorkerContext(None)
        self._context = ServerContext(bounds=bounds, counters=counters, config=config, context=context, tls=tls)
        self._slots = ConnectionSlots(bounds.connections)
        self._extra_slots = ConnectionSlots(_EXTRA_CONNECTIONS)
        self._connections: set[HttpConnection] = set()

    async def serve(self, listener: socket.socket, app: App) -> None:
        """Serve an application on a listening socket until cancelled or stopped; then finish pending requests.

        The caller's deadline limits the time for that.
        """
        accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        finished = trio.Event()
        async with trio.open_nursery() as watching:
            watching.start_soon(self._close_all_when_cancelled, finished)
            async with trio.open_nursery() as connections, accepting, trio.open_nursery() as nursery:
                nursery.start_soon(self._accept, accepting, app, connections)
                await self._context.context.terminated.wait()
                nursery.cancel_scope.cancel()
            finished.set()

    async def _close_all_when_cancelled(self, finished: trio.Event) -> None:
        """Close connections, because sending is shielded and would not notice the cancellation."""
        try:
            await finished.wait()
        except trio.Cancelled:
            for connection in self._connections:
                connection.close()
            raise

    async def stop(self) -> None:
        """Stop accepting, and close each connection when it has no pending request."""
        await self._context.context.terminated.set()
        for connection in self._connections:
            connection.close_if_idle()

    async def _accept(self, listener: trio.SocketListener, app: App, connections: trio.Nursery) -> None:
        probes_only = only_probes(app, self._context.counters, self._context.bounds.retry_after)
        full, limited = ASGIWrapper(app), ASGIWrapper(probes_only)  # type: ignore[arg-type] # they have a type for each message
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:  # no file descriptors left, most likely
                _log.warning("cannot accept a connection: %s", error)
                await trio.sleep(0.1)
                continue
            connections.start_soon(self._serve_connection, stream, full, limited)

    async def _serve_connection(self, stream: trio.SocketStream, full: ASGIWrapper, limited: ASGIWrapper) -> None:
        counters, slots = self._context.counters, self._slots
        counters.connections += 1
        connection = HttpConnection(self._context, stream)
        self._connections.add(connection)
        try:
            address = str(stream.socket.getpeername()[0])
            slot = slots.acquire(address, connection.close_if_idle)
            counters.closed_connections = slots.closed
            if slot is not None:
                with slot:
                    await connection.run(full, self._context.bounds.idle_time, slot)
                return
            with (
                self._extra_slots.acquire(address, connection.close) or nullcontext(),
                trio.move_on_after(_EXTRA_TIME),
            ):
                await connection.run(limited, _EXTRA_TIME)
        except Exception as error:  # noqa: BLE001 - must not affect other connections
            counters.broken_connections += 1
            _log.debug("connection failed: %r", error)
        finally:
            counters.connections -= 1
            self._connections.discard(connection)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await trio.aclose_forcefully(stream)


def possible(bounds: Bounds) -> Bounds:
    """Return bounds with as many connections as there may be open files. Raises the limit of those."""
    others = _EXTRA_CONNECTIONS + _OTHER_FILES
    allowed = max(1, _file_limit(bounds.connections + others) - others)
    if allowed >= bounds.connections:
        return bounds
    _log.warning("the open file limit allows %d connections instead of %d", allowed, bounds.connections)
    return replace(bounds, connections=allowed)


def _file_limit(wanted: int) -> int:
    """Raise the open file limit to `wanted` as far as allowed. Returns the resulting limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == unlimited else soft


def listen(address: str, port: int, bounds: Bounds) -> socket.socket:
    """Return a listening socket.

    Raises:
        UsageError: cannot listen on this address and port.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Accepted sockets inherit these. The kernel closes a connection whose peer is gone or does not read.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Otherwise the kernel buffers megabytes for each client that does not read, which count as this pod's memory.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(bounds.stuck_time * 1000))
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError([f"cannot listen on {address} port {port}: {error.strerror or error}"]) from error
    listener.setblocking(False)  # noqa: FBT003 - takes no keyword
    return listener
