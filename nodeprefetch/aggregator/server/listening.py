"""Accepts connections and gives each a place; one that fails harms no other.

Hypercorn's own loop would end the whole server when one connection's protocol raises, as it does on bytes that are
after the end of a stream, and knows no bound; so the loop is here, and Hypercorn's protocols serve what it accepts.
"""

import logging
import resource
import socket
import ssl
from contextlib import nullcontext

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from nodeprefetch.aggregator.counters import Counters
from nodeprefetch.aggregator.server.asgi import App, only_probes
from nodeprefetch.aggregator.server.connection import Connection, Terms
from nodeprefetch.aggregator.server.places import Places
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.errors import UsageError

_log = logging.getLogger("nodeprefetch.aggregator")

_WAITING_ROOM = 100
"""Connections beyond the bound, on which probes are answered, and everything else is told to come later."""

_WAITING_TIME = 5.0
"""Seconds that one of those lasts."""

_OTHER_FILES = 100
"""File descriptors that are not connections: the database, listening sockets, files of tokens."""

_SOCKET_BUFFER = 64 << 10
"""Bytes that the kernel keeps for a connection in each direction; it takes twice as much for its own needs."""

_BACKLOG = 4096
"""Connections that wait in the kernel to be accepted; it takes no more than net.core.somaxconn says."""


class Server:
    """Serves applications on sockets.

    Args:
        bounds: of connections and times.
        counters: of connections.
        tls: None for plain text.
    """

    def __init__(self, bounds: Bounds, counters: Counters, tls: ssl.SSLContext | None) -> None:
        config = Config()
        config.ssl_handshake_timeout = bounds.body_time
        config.keep_alive_max_requests = 1_000_000
        config.include_server_header = False
        config.errorlog = _log
        config.max_app_queue_size = 4  # parts of a body, which count in nothing until the handler takes them
        config.h2_max_concurrent_streams = bounds.streams
        config.h2_max_header_list_size = config.h11_max_incomplete_size
        self._terms = Terms(bounds=bounds, counters=counters, config=config, context=WorkerContext(None), tls=tls)
        others = _WAITING_ROOM + _OTHER_FILES
        allowed = max(1, _file_limit(bounds.connections + others) - others)
        if allowed < bounds.connections:
            _log.warning("the limit of open files allows %d connections, not %d", allowed, bounds.connections)
        self._places = Places(min(bounds.connections, allowed))
        self._waiting_room = Places(_WAITING_ROOM)
        self._connections: set[Connection] = set()

    async def serve(self, listener: socket.socket, app: App) -> None:
        """Serve one application on one listening socket until cancelled or stopped; then finish what is under way.

        Whoever cancels gives the time for that.
        """
        accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        finished = trio.Event()
        async with trio.open_nursery() as watching:
            watching.start_soon(self._end_all_when_cancelled, finished)
            async with trio.open_nursery() as connections, accepting, trio.open_nursery() as nursery:
                nursery.start_soon(self._accept, accepting, app, connections)
                await self._terms.context.terminated.wait()
                nursery.cancel_scope.cancel()
            finished.set()

    async def _end_all_when_cancelled(self, finished: trio.Event) -> None:
        """What is being sent is shielded, and would not notice."""
        try:
            await finished.wait()
        except trio.Cancelled:
            for connection in self._connections:
                connection.end()
            raise

    async def stop(self) -> None:
        """Accept nothing more, and close each connection when it has nothing under way."""
        await self._terms.context.terminated.set()
        for connection in self._connections:
            connection.leave()

    async def _accept(self, listener: trio.SocketListener, app: App, connections: trio.Nursery) -> None:
        told_to_wait = only_probes(app, self._terms.counters, self._terms.bounds.retry_after)
        inside, outside = ASGIWrapper(app), ASGIWrapper(told_to_wait)  # type: ignore[arg-type] # they name each message
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:  # no file descriptors left, most likely
                _log.warning("a connection could not be accepted: %s", error)
                await trio.sleep(0.1)
                continue
            connections.start_soon(self._serve_connection, stream, inside, outside)

    async def _serve_connection(self, stream: trio.SocketStream, inside: ASGIWrapper, outside: ASGIWrapper) -> None:
        counters, places = self._terms.counters, self._places
        counters.connections += 1
        connection = Connection(self._terms, stream)
        self._connections.add(connection)
        try:
            address = str(stream.socket.getpeername()[0])
            place = places.enter(address, connection.leave)
            counters.closed_connections = places.closed
            if place is not None:
                with place:
                    await connection.run(inside, self._terms.bounds.idle_time, place)
                return
            with (
                self._waiting_room.enter(address, connection.end) or nullcontext(),
                trio.move_on_after(_WAITING_TIME),
            ):
                await connection.run(outside, _WAITING_TIME)
        except Exception as error:  # noqa: BLE001 - whatever it is, other connections go on
            counters.broken_connections += 1
            _log.debug("a connection broke: %r", error)
        finally:
            counters.connections -= 1
            self._connections.discard(connection)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await trio.aclose_forcefully(stream)


def _file_limit(wanted: int) -> int:
    """Raise the limit of open files to what is wanted, as far as that is allowed. Returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == unlimited else soft


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
        # Otherwise the kernel keeps megabytes for each client that does not read, which count as this pod's memory too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(bounds.stuck_time * 1000))
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError([f"cannot listen on {address} port {port}: {error.strerror or error}"]) from error
    listener.setblocking(False)  # noqa: FBT003 - that is how it is called
    return listener
