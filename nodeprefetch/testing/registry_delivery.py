"""Send a response of the fake registry and apply its fault."""

import select
import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Protocol

from nodeprefetch.testing.registry_answers import Answer
from nodeprefetch.testing.registry_faults import Fault, FaultKind

_CHUNK = 1 << 16
_LOOK_AGAIN = 0.02
"""Seconds between checks whether a stalled response may continue."""

_PORTIONS_PER_SECOND = 20
_NO_HTTP = b"\x00\xff\x17 this is no HTTP \xfe\n" * 4


class Exchange(Protocol):
    """A request's response and its fault."""

    @property
    def answer(self) -> Answer:
        """The response, including a faulty status."""
        ...

    @property
    def fault(self) -> Fault:
        """The fault."""
        ...

    def is_released(self) -> bool:
        """Whether stalled responses have been released since this request arrived."""
        ...

    def finish(self, *, status: int | None, bytes_sent: int, cut_by_client: bool) -> None:
        """Record that the response was sent or aborted. The last call counts."""
        ...


class _ClientLeftError(Exception):
    """Raised when the client or `stop` closed the connection."""


class Delivery:
    """A response being sent.

    Args:
        handler: the connection; its request has been read.
        exchange: what to send.
        is_stopping: whether the registry itself is cutting connections.
    """

    def __init__(self, handler: BaseHTTPRequestHandler, exchange: Exchange, *, is_stopping: Callable[[], bool]) -> None:
        self._handler = handler
        self._connection: socket.socket = handler.connection
        self._exchange = exchange
        self._is_stopping = is_stopping
        self._status: int | None = None
        self._bytes_sent = 0
        self._poll = select.poll()
        self._poll.register(self._connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)

    def run(self) -> None:
        """Send the response as far as the fault permits, and report to the exchange how far that was.

        It is told before the last bytes go out, so that a client that has the answer finds the record complete.
        """
        try:
            self._send()
        except (_ClientLeftError, OSError):
            self._handler.close_connection = True
            self._emit(cut_by_client=not self._is_stopping())

    def _emit(self, *, cut_by_client: bool = False) -> None:
        self._exchange.finish(status=self._status, bytes_sent=self._bytes_sent, cut_by_client=cut_by_client)

    def _send(self) -> None:
        fault = self._exchange.fault
        body = self._exchange.answer.body
        if fault.kind is FaultKind.GARBAGE:
            self._emit()
            self._handler.close_connection = True
            self._handler.wfile.write(_NO_HTTP)
            return
        if fault.after is None and self._interrupt(fault):
            return
        if fault.kind is FaultKind.WRONG_BYTES:
            body = bytes([body[0] ^ 0xFF]) + body[1:]
        first, rest = (body, b"") if fault.after is None else (body[: fault.after], body[fault.after :])
        self._send_head(len(body))
        if self._handler.command == "HEAD":
            return
        self._send_body(first, fault.bytes_per_second, is_all=not rest)
        if rest and not self._interrupt(fault):
            self._send_body(rest, is_all=True)

    def _interrupt(self, fault: Fault) -> bool:
        """Stall, reset or drop. Return True if nothing more is to be sent."""
        if fault.kind is FaultKind.STALL:
            self._wait(None)
            return False
        if fault.kind not in (FaultKind.RESET, FaultKind.DROP):
            return False
        self._emit()
        self._handler.close_connection = True
        if fault.kind is FaultKind.RESET:
            # closing with a linger time of zero sends RST in place of FIN
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._handler.rfile.close()
            self._connection.close()
        return True

    def _send_head(self, length: int) -> None:
        answer = self._exchange.answer
        self._status = answer.status
        self._handler.send_response(answer.status)
        for name, value in answer.headers.items():
            self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(length))
        if self._handler.command == "HEAD" or not length:
            self._emit()
        self._handler.end_headers()

    def _send_body(self, body: bytes, bytes_per_second: float = 0, *, is_all: bool) -> None:
        size = max(1, int(bytes_per_second / _PORTIONS_PER_SECOND)) if bytes_per_second else _CHUNK
        for start in range(0, len(body), size):
            portion = memoryview(body)[start : start + size]
            if is_all and start + size >= len(body):
                self._bytes_sent += len(portion)
                self._emit()
                self._connection.sendall(portion)
                return
            self._connection.sendall(portion)
            self._bytes_sent += len(portion)
            if bytes_per_second:
                self._wait(len(portion) / bytes_per_second)

    def _wait(self, seconds: float | None) -> None:
        """Wait until released or for the given seconds, as long as the client stays connected."""
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0 and not self._exchange.is_released():
            if self._poll.poll(min(rest, _LOOK_AGAIN) * 1000):
                raise _ClientLeftError
