"""Raw HTTP/2 with prior knowledge: frames as an attacker builds them (RFC 9113)."""

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Self

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """Return a SETTINGS frame; `window` is the initial window of streams."""
    payload = struct.pack(">HI", INITIAL_WINDOW_SIZE, values["window"]) if "window" in values else b""
    return frame(SETTINGS, payload)


def request(stream: int, path: str, *, method: str = "GET", end: bool = True, **more: str) -> bytes:
    """Return HEADERS of a request that do not grow the table."""
    fields = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        *((name.replace("_", "-"), value) for name, value in more.items()),
    ]
    block = Encoder().encode([(name, value, True) for name, value in fields])  # never indexed
    return frame(HEADERS, block, flags=END_HEADERS | (END_STREAM if end else 0), stream=stream)


class Peer:
    """A connection that sends given bytes, and reads and counts responses or does not read at all.

    Args:
        port: on 127.0.0.1.
        window: the initial window of streams that it announces.
        reads: it takes what comes; else TCP fills up.
    """

    def __init__(self, port: int, *, window: int = 65535, reads: bool = True) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.is_closed = threading.Event()
        self.resets = 0
        self.received = bytearray()
        """The first received MiB."""

        self.send(PREFACE + settings(window=window))
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def send(self, data: bytes) -> bool:
        """Send it. Return whether that succeeded."""
        try:
            self._socket.sendall(data)
        except OSError:
            self.is_closed.set()
            return False
        return True

    def flood(self, data: bytes, seconds: float) -> int:
        """Send it repeatedly. Return how often."""
        ends, count = time.monotonic() + seconds, 0
        while time.monotonic() < ends and self.send(data):
            count += 1
        return count

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        buffer = b""
        with suppress(OSError, ValueError):
            while True:
                with suppress(TimeoutError):
                    part = self._socket.recv(65536)
                    if not part:
                        break
                    if len(self.received) < 1 << 20:
                        self.received += part
                    buffer = self._frames(buffer + part)
        self.is_closed.set()

    def _frames(self, buffer: bytes) -> bytes:
        while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3])):
            kind, flags = buffer[3], buffer[4]
            if kind == RST_STREAM:
                self.resets += 1
            if kind == SETTINGS and not flags:
                self.send(frame(SETTINGS, flags=1))
            buffer = buffer[end:]
        return buffer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
