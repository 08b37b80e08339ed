"""A fake aggregator that records requests and fails on command: HTTP/1.1 on 127.0.0.1, one thread per connection."""

import gzip
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.testing.waiting import wait_until
from tests.support.ports import free_port
from tests.support.spawn import Background

ROUTE = "/v1/events"
_POLL = 0.02
"""Seconds until the listener notices `stop`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The response to a request. The batch is kept only if the status is 2xx."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: float = 0
    """Delay of the response in seconds; `stop` ends it early."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection without a response."""

    after: int = 0
    """After this many bytes of the body."""

    keeps: bool = False
    """Read the whole body and keep the batch first: the acknowledgement gets lost."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Respond with these bytes, and close."""

    data: bytes


HTTP2_FRAMES = Garbage(bytes.fromhex("000006040000000000000500004000000000040800000000000000ffff"))
"""SETTINGS and WINDOW_UPDATE: what a gRPC server sends first."""

Behaviour = Reply | HangUp | Garbage


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A complete request."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""

    size: int
    """Bytes of the body as received, compressed or not."""

    peer: tuple[str, int]
    """The client: the same for all requests of one connection."""

    batch: Batch


class FakeAggregator(Background):
    """Runs inside its block, always at the same port.

    Args:
        tls: speak TLS with this context.
        max_body: a larger body, unpacked, gets 413; in bytes.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, max_body: int | None = None) -> None:
        self._tls = tls
        self.max_body = max_body
        self.token: str | None = None
        """If set, requests without it get 401."""

        self.always: Behaviour = Reply()
        """Its behavior unless something else is scripted."""

        self.script: deque[Behaviour] = deque()
        """Its behavior for the next requests, one each."""

        self.requests: list[Request] = []
        """All complete requests, whatever the response."""

        self.batches: list[Batch] = []
        """All kept batches in order, with repetitions."""

        self._changed = threading.Condition()
        self._server: _Server | None = None
        self._port = free_port()

    @property
    def endpoint(self) -> str:
        """The value for `--metrics-endpoint`."""
        return f"https://localhost:{self._port}" if self._tls else f"127.0.0.1:{self._port}"

    @property
    def events(self) -> list[AnyEvent]:
        """All events in `batches`."""
        return [event for batch in self.batches for event in batch.events]

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._server.connections) if self._server else 0

    def start(self) -> None:
        """Start listening."""
        self._server = _Server(self._port, self, self._tls)

    def stop(self) -> None:
        """Stop listening and reset all connections, as SIGKILL does."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def wait_until(self, is_so: Callable[[Self], bool]) -> None:
        """Block until a condition holds; under Trio, call this with `trio.to_thread.run_sync`.

        Raises:
            TimeoutError: it did not become true within five minutes.
        """
        wait_until(self._changed, lambda: is_so(self), lambda: (len(self.requests), self.events[-5:]))

    def take(self, request: Request) -> Behaviour:
        """Return the behavior for a request; called by its connection's thread."""
        with self._changed:
            self.requests.append(request)
            if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
                behaviour: Behaviour = Reply(status=401, body=b"no such token")
            elif self.max_body is not None and len(msgspec.msgpack.encode(request.batch)) > self.max_body:
                behaviour = Reply(status=413)
            else:
                behaviour = self.next_behaviour()
            if keeps(behaviour):
                self.batches.append(request.batch)
            self._changed.notify_all()
        return behaviour

    def hangs_up(self) -> HangUp | None:
        """Return whether to stop reading the next request early; called by its connection's thread."""
        with self._changed:
            coming = self.script[0] if self.script else self.always
            if isinstance(coming, HangUp) and not coming.keeps:
                self.next_behaviour()
                return coming
        return None

    def next_behaviour(self) -> Behaviour:
        """The next behavior of the script, else `always`."""
        return self.script.popleft() if self.script else self.always


def keeps(behaviour: Behaviour) -> bool:
    """Whether the batch is kept."""
    match behaviour:
        case Reply():
            return 200 <= behaviour.status < 300
        case HangUp():
            return behaviour.keeps
        case Garbage():
            return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, aggregator: FakeAggregator, tls: ssl.SSLContext | None) -> None:
        self.aggregator = aggregator
        self.stopping = threading.Event()
        self._tls = tls
        self.connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL,), name="fake aggregator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self.connections:
                reset(connection)
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError):  # who is cut in mid-handshake
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            with self._lock:
                self.connections.add(request)
            try:
                super().finish_request(request, client_address)
            finally:
                with self._lock:
                    self.connections.discard(request)
                request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not self.stopping.is_set():
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self.close_connection = True
        aggregator = self.server.aggregator
        if hang_up := aggregator.hangs_up():
            self.rfile.read(hang_up.after)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        unpacked = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        behaviour = aggregator.take(
            Request(
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                size=len(body),
                peer=self.client_address,
                batch=msgspec.msgpack.decode(unpacked, type=Batch),
            )
        )
        match behaviour:
            case Reply():
                self.server.stopping.wait(behaviour.after)
                self.send_response(behaviour.status)
                for name, value in behaviour.headers.items():
                    self.send_header(name, value)
                if behaviour.status != 204:
                    self.send_header("Content-Length", str(len(behaviour.body)))
                self.end_headers()
                self.wfile.write(behaviour.body)
                self.close_connection = self.headers.get("Connection") == "close"
            case Garbage():
                self.wfile.write(behaviour.data)
            case HangUp():
                pass

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Log nothing."""


def reset(connection: socket.socket) -> None:
    """Close with RST, as the kernel does for a process that is killed with unread bytes."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # not SSLSocket.shutdown: it would take the TLS state away from the thread that uses it
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
