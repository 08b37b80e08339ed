"""HTTP/2 readers without a window: unread data must not pile up or stay forever."""

import re
import time
from contextlib import ExitStack

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import fill
from hostile_runs.raw_http2 import Peer, request
from tests.support.aggregator_program import AggregatorProgram

OK = 200
STUCK = 45.0
"""Seconds after which a client that reads nothing is disconnected: a little more than `Bounds.stuck_time`."""


def readers(program: AggregatorProgram) -> int:
    """Return the number of live readers, according to the metrics."""
    text = program.ask("/metrics", Accept="text/plain;version=0.0.4").body
    found = re.search(rb"^nodeprefetch_aggregator_live_readers (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else -1


@attack("windows", "3 connections with window 0 ask 90 x for /metrics (11 MiB) and read nothing")
def unread_metrics(run: Run) -> None:
    """Held for 20 s."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        fill(program, 60_000)
        for _ in range(3):
            peer = stack.enter_context(Peer(program.http_port, window=0))
            peer.send(b"".join(request(2 * number + 1, "/metrics") for number in range(90)))
            run.count += 90
        time.sleep(20)


@attack("windows", "10 live streams with window 0 on one connection, then 60,000 events")
def unread_live_stream(run: Run) -> None:
    """They are disconnected after their timeout."""
    with run.aggregator(keeps=False) as program, Peer(program.http_port, window=0) as peer:
        peer.send(b"".join(request(2 * number + 1, "/v1/events") for number in range(10)))
        run.count = 10
        fill(program, 60_000)
        time.sleep(STUCK)
        left = readers(program)
        run.expect(left == 0, f"{left} readers that read nothing are connected after {STUCK:.0f} s")


@attack("windows", "900 live streams with window 0 over 9 connections occupy all reader slots")
def places_of_readers(run: Run) -> None:
    """A real reader gets a slot again."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        for _ in range(9):
            peer = stack.enter_context(Peer(program.http_port, window=0))
            peer.send(b"".join(request(2 * number + 1, "/v1/events") for number in range(100)))
            run.count += 100
        fill(program, 25_000)
        time.sleep(STUCK)
        fill(program, 1_000)
        status = _first_status(program)
        run.expect(status == OK, f"a real reader got {status}")


def _first_status(program: AggregatorProgram) -> int:
    connection = program.connect()
    connection.request("GET", "/v1/events")
    status = connection.getresponse().status
    connection.close()
    return status


@attack("windows", "a connection with window 0 that sends WINDOW_UPDATE of 1 byte each second")
def one_byte_a_second(run: Run) -> None:
    """Such slow reading does not keep a response of 11 MiB in memory for each stream."""
    with run.aggregator(keeps=False) as program, Peer(program.http_port, window=0) as peer:
        fill(program, 60_000)
        peer.send(b"".join(request(2 * number + 1, "/metrics") for number in range(50)))
        run.count = 50
        for _ in range(20):
            time.sleep(1)
            peer.send(b"".join(_one_byte(2 * number + 1) for number in range(50)))


def _one_byte(stream: int) -> bytes:
    return b"\0\0\4\x08\0" + stream.to_bytes(4) + (1).to_bytes(4)
