"""The fake registry's sockets: HTTP/1.1, with a thread per connection."""

import socket
import ssl
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from nodeprefetch.testing.registry_delivery import Delivery, Exchange

_POLL = 0.02
"""Seconds until the listener notices `stop`."""

_GARBAGE_ANSWER = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Application(Protocol):
    """The registry's interface for its sockets."""

    def exchange(self, method: str, path: str, headers: dict[str, str], body: bytes, *, address: str) -> Exchange:
        """Handle a request from an address (header names in lower case)."""
        ...


class RegistryServer(ThreadingHTTPServer):
    """Listens from its creation until `stop`.

    Args:
        address: where to listen; port 0 for a free one.
        application: what answers.
        tls: speak TLS with this context.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Application, tls: ssl.SSLContext | None) -> None:
        self.application = application
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self.is_stopping = False
        super().__init__(address, _Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": _POLL}, name="fake registry", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and all connections; returns when every thread has finished."""
        self.is_stopping = True
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._changed:
            for connection in self._connections:
                with suppress(OSError):
                    # not SSLSocket.shutdown: it would take the TLS state away from the thread that uses it
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._connections)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection before its thread runs, so that `stop` misses none."""
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, wrapped if TLS is used."""
        connection = request
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                with self._changed:
                    self._connections.remove(request)
                    self._connections.add(connection)
            super().process_request_thread(connection, client_address)
        finally:
            with self._changed:
                self._connections.discard(connection)
                self._changed.notify_all()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Perform the handshake in the connection's thread, because a client may stall it."""
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect or fail in TLS; report other errors."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RegistryServer

    def handle_one_request(self) -> None:
        first = self.rfile.peek(1)[:1]  # type: ignore[attr-defined] # a BufferedReader, as rbufsize is -1
        if first and not first.isalpha():
            # containerd from 2.0 tries TLS first, and plain HTTP only after an answer like this one
            self.wfile.write(_GARBAGE_ANSWER)
            self.close_connection = True
            return
        super().handle_one_request()

    def log_message(self, *_: object) -> None:
        """Print nothing: the request log belongs to the application."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        exchange = self.server.application.exchange(
            self.command, self.path, headers, body, address=self.client_address[0]
        )
        delivery = Delivery(self, exchange, is_stopping=lambda: self.server.is_stopping)
        delivery.run()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (names given by http.server)
