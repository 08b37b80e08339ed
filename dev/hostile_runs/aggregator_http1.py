"""Attacks over HTTP/1.1: idle and slow clients, request smuggling, odd paths."""

import time
from contextlib import ExitStack

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import get, idle, raw

SLOW = 90.0
"""Seconds after which every slow client is disconnected."""

SERVER_ERROR = 500


@attack("http1", "1,000 connections without a request")
def idle_connections(run: Run) -> None:
    """Probes always get a connection, on both ports."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        for each in idle(program.http_port, 1000):
            stack.callback(each.close)
            run.count += 1
        time.sleep(1)
        for path in ("/healthz", "/readyz"):
            status, _ = get(program, path)
            run.expect(status == 200, f"{path} got {status}")
        time.sleep(10)


@attack("http1", "headers, bodies and chunks at one byte per second")
def slow_clients(run: Run) -> None:
    """Each is disconnected after its timeout."""
    post = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/msgpack\r\n"
    begins = [
        b"GET /metrics HT",
        post + b"Content-Length: 100000\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    ]
    goes_on = [b"x", b"x", b"1\r\nx\r\n"]
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        slow = []
        for first, more in zip(begins, goes_on, strict=True):
            for connection in idle(program.http_port, 5):
                stack.callback(connection.close)
                connection.sendall(first)
                slow.append((connection, more))
        run.count = len(slow)
        ends = time.monotonic() + SLOW
        while slow and time.monotonic() < ends:
            time.sleep(1)
            slow = [(connection, more) for connection, more in slow if _goes_on(connection, more)]
        run.expect(not slow, f"{len(slow)} slow clients are connected after {SLOW:.0f} s")


def _goes_on(connection: object, more: bytes) -> bool:
    try:
        connection.sendall(more)  # type: ignore[attr-defined] # a socket
        connection.settimeout(0.01)  # type: ignore[attr-defined]
        return connection.recv(65536) != b""  # type: ignore[attr-defined]
    except TimeoutError:
        return True
    except OSError:
        return False


@attack("http1", "requests in requests: both lengths, two lengths, odd chunks, bare line feeds")
def smuggling(run: Run) -> None:
    """An ambiguous request is rejected, or its connection is closed after it (RFC 9112, section 6.1)."""
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
    hidden = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
    both = head + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(hidden)) + hidden
    others = [
        head + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + hidden,
        head + b"Content-Length: +5\r\n\r\n" + hidden,
        head + b"Content-Length: 5, 5\r\n\r\n" + hidden,
        head + b"Transfer-Encoding: xchunked\r\n\r\n" + hidden,
        head + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
        head + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + hidden,
        head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + hidden,
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ]
    with run.aggregator(keeps=False) as program:
        answer = raw(program.http_port, both, patience=3) or b""
        run.count = 1 + len(others)
        run.expect(answer.count(b"HTTP/1.1 ") <= 1, "a request with both lengths: the rest is served too")
        for sent in others:
            answer = raw(program.http_port, sent, patience=3) or b""
            ours = b"HTTP/1.1 5" in answer and b"HTTP/1.1 501 " not in answer  # that is for an unknown transfer coding
            run.expect(not ours, f"{sent[:60]!r} causes a server error")


@attack("http1", "invalid paths, queries, cursors and event IDs")
def odd_questions(run: Run) -> None:
    """Rejected or answered, never a server error."""
    paths = [
        "/../../etc/passwd", "//", "/%2e%2e/", "/metrics/", "/metrics?format=" + "x" * 8000, "/metrics?x=%00",
        "/metrics?%ff",
        "/v1/status?limit=-1", "/v1/status?limit=99999999999999999999", "/v1/status?limit=abc", "/v1/status?cursor=%00",
        "/v1/status?cursor=" + "A" * 4000, "/v1/status?state=x", "/v1/status?image=%ff%fe",
        "/v1/status?node='; DROP TABLE run;--",
        "/v1/status?instance=%2500", "/v1/events?last_event_id=-1", "/v1/events?last_event_id=9" * 30, "/v1/nothing",
    ]  # fmt: skip
    with run.aggregator(keeps=False) as program:
        for path in paths:
            sent = f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1")
            answer = raw(program.http_port, sent, patience=3) or b""
            run.count += 1
            run.expect(b"HTTP/1.1 5" not in answer[:12], f"{path[:60]} causes a server error")
        for method in ("PUT", "DELETE", "TRACE", "CONNECT", "X" * 100):
            answer = (
                raw(program.http_port, f"{method} /v1/events HTTP/1.1\r\nHost: x\r\n\r\n".encode(), patience=3) or b""
            )
            run.count += 1
            run.expect(not answer.startswith(b"HTTP/1.1 5"), f"{method[:10]} causes a server error")
        run.expect(get(program, "/v1/status")[0] < SERVER_ERROR, "/v1/status does not respond afterwards")
