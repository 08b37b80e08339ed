"""Floods of HTTP/2 frames for five seconds each: the aggregator stays alive, small and responsive."""

import os
import struct
import time
from collections.abc import Callable

from hostile_runs import raw_http2 as http2
from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import get
from hostile_runs.raw_http2 import Peer, frame, request

SECONDS = 5.0
PARTS = 200
"""Number of frames sent in one write."""

OK = 200


def _flood(run: Run, data: bytes, *, before: bytes = b"", reads: bool = True) -> None:
    """Send it for five seconds and watch the aggregator for ten more."""
    with run.aggregator(keeps=False) as program:
        with Peer(program.http_port, reads=reads) as peer:
            peer.send(before)
            run.count = PARTS * peer.flood(data, SECONDS)
        time.sleep(10)
        status, _ = get(program, "/metrics")
        run.expect(status == OK, f"/metrics got {status} afterwards")


def _reset(make: Callable[[int], bytes]) -> Callable[[Run], None]:
    """Return streams that are opened and reset at once (CVE-2023-44487)."""

    def strike(run: Run) -> None:
        with run.aggregator(keeps=False) as program:
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                with Peer(program.http_port) as peer:
                    for stream in range(1, 4001, 2):
                        cancelled = frame(http2.RST_STREAM, struct.pack(">I", 8), stream=stream)
                        if time.monotonic() > ends or not peer.send(make(stream) + cancelled):
                            break
                        run.count += 1
            time.sleep(10)

    return strike


@attack("floods", "GET streams, each reset at once")
def reset_gets(run: Run) -> None:
    """Rapid reset."""
    _reset(lambda stream: request(stream, "/metrics"))(run)


@attack("floods", "POST streams, each reset in the middle of its body")
def reset_posts(run: Run) -> None:
    """Rapid reset with bodies."""
    part = bytes(1000)
    _reset(
        lambda stream: (
            request(stream, "/v1/events", method="POST", end=False, content_type="application/msgpack")
            + frame(http2.DATA, part, stream=stream)
        )
    )(run)


@attack("floods", "PING, responses read")
def ping(run: Run) -> None:
    """Each is answered."""
    _flood(run, frame(http2.PING, bytes(8)) * PARTS)


@attack("floods", "PING, responses not read")
def ping_unread(run: Run) -> None:
    """Responses pile up somewhere (CVE-2019-9512)."""
    _flood(run, frame(http2.PING, bytes(8)) * PARTS, reads=False)


@attack("floods", "SETTINGS, responses not read")
def settings_unread(run: Run) -> None:
    """CVE-2019-9515."""
    _flood(run, frame(http2.SETTINGS, struct.pack(">HI", 4, 65535)) * PARTS, reads=False)


@attack("floods", "endless CONTINUATION")
def continuation(run: Run) -> None:
    """CVE-2024-27316."""
    before = frame(http2.HEADERS, b"\x82", stream=1)
    _flood(run, frame(http2.CONTINUATION, bytes([0x40, 1, 97, 1, 98]) * 10, stream=1) * PARTS, before=before)


@attack("floods", "WINDOW_UPDATE of one byte")
def window_update(run: Run) -> None:
    """On the connection."""
    _flood(run, frame(http2.WINDOW_UPDATE, struct.pack(">I", 1)) * PARTS)


@attack("floods", "PRIORITY of streams that are not open")
def priority(run: Run) -> None:
    """CVE-2019-9513."""
    _flood(run, b"".join(frame(http2.PRIORITY, bytes(4) + b"\1", stream=2 * n + 1) for n in range(PARTS)))


@attack("floods", "frames of unknown kinds")
def unknown_frames(run: Run) -> None:
    """They are ignored."""
    _flood(run, b"".join(frame(200 + n % 50, bytes(100), stream=1) for n in range(PARTS)))


@attack("floods", "empty DATA in the body of a POST")
def empty_data(run: Run) -> None:
    """CVE-2019-9518."""
    before = request(1, "/v1/events", method="POST", end=False, content_type="application/msgpack")
    _flood(run, frame(http2.DATA, stream=1) * PARTS, before=before)


@attack("floods", "DATA with only padding")
def padded_data(run: Run) -> None:
    """It uses the window without any data."""
    before = request(1, "/v1/events", method="POST", end=False, content_type="application/msgpack")
    _flood(run, frame(http2.DATA, b"\xff" + bytes(255), flags=http2.PADDED, stream=1) * PARTS, before=before)


@attack("floods", "HPACK: one long header, then many references to it")
def hpack_bomb(run: Run) -> None:
    """CVE-2016-6581: few bytes that expand to many."""
    long = b"\x40\x01a" + b"\x7f" + _integer(4000 - 127) + b"x" * 4000
    bomb = long + b"\xbe" * 12_000
    with run.aggregator(keeps=False) as program:
        for _ in range(50):
            with Peer(program.http_port) as peer:
                peer.send(frame(http2.HEADERS, bomb, flags=http2.END_HEADERS | http2.END_STREAM, stream=1))
                peer.is_closed.wait(1)
                run.count += 1


@attack("floods", "gRPC: a message that never ends, and many tiny ones")
def grpc_messages(run: Run) -> None:
    """Each result is decoded, and rejected or counted in memory."""
    with run.aggregator(keeps=False) as program:
        for body in (b"\0" + struct.pack(">I", 3 << 20) + bytes(10_000), (b"\0" + bytes(4)) * 2000, os.urandom(10_000)):
            with Peer(program.grpc_port) as peer:
                peer.send(
                    request(
                        1, "/Metrics/Submit", method="POST", end=False, content_type="application/grpc", te="trailers"
                    )
                )
                run.count += peer.flood(frame(http2.DATA, body, stream=1), 2)
        time.sleep(5)


def _integer(number: int) -> bytes:
    """Return the rest of an HPACK integer (RFC 7541, section 5.1)."""
    found = bytearray()
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    return bytes([*found, number])
