"""Live readers over HTTP/1.1 that read nothing, and small bodies that are amplified for each."""

import gzip
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from hostile_runs.aggregator_http2_windows import STUCK, readers
from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import LINES, fill, idle, post
from tests.support.aggregator_program import AggregatorProgram

READERS = 100
"""The maximum number of readers."""

LONGEST = 128 * "\U0001f600"
"""A name of the maximum length, 512 bytes."""


def _readers(program: AggregatorProgram, count: int, last_id: str = "") -> Sequence[socket.socket]:
    found = []
    more = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", program.http_port), timeout=10)
        connection.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        found.append(connection)
    return found


def _multiplying(count: int) -> bytes:
    """Return a small body of many events whose names have the maximum length."""
    event = {"event": "retry_planned", "at": 1, "image": "a", "delay": 1}
    about = dict.fromkeys(("run_id", "node", "version", "instance"), LONGEST)
    return gzip.compress(msgspec.json.encode({**about, "events": [event] * count}))


@attack("readers", "120 readers over HTTP/1.1 that read nothing, then 20,000 small events")
def unread(run: Run) -> None:
    """At most 100 are admitted, and all are disconnected after their timeout."""
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        for each in _readers(program, 120):
            stack.callback(each.close)
        run.count = 120
        time.sleep(2)
        inside = readers(program)
        run.expect(inside <= READERS, f"{inside} readers were admitted")
        fill(program, 20_000)
        time.sleep(STUCK)


@attack("readers", "4 readers that read nothing; 10,000 events of 2 KB of names each from a body of some KB")
def multiplied_for_four(run: Run) -> None:
    """With one more that reconnects."""
    _multiplied(run, 4, 10_000)


@attack("readers", "100 readers that read nothing; 2,500 events of 2 KB of names each from a body of 1 KB")
def multiplied_for_hundred(run: Run) -> None:
    """The same with all slots."""
    _multiplied(run, READERS, 2_500)


def _multiplied(run: Run, count: int, events: int) -> None:
    with run.aggregator(keeps=False) as program, ExitStack() as stack:
        for each in _readers(program, count):
            stack.callback(each.close)
        time.sleep(1)
        status, _ = post(program, _multiplying(events), {**LINES, "Content-Encoding": "gzip"})
        run.expect(status in (200, 400, 413, 429), f"the body got {status}")
        run.count = count * events
        for each in _readers(program, 1, "1-0"):
            stack.callback(each.close)
        time.sleep(15)


@attack("readers", "400 ask for the exposition at once, 400 for the JSON (11 MiB), and read nothing for a while")
def crowds(run: Run) -> None:
    """Others do not wait for all of them."""
    for accept in ("text/plain", "*/*"):
        with run.aggregator(keeps=False) as program, ExitStack() as stack:
            fill(program, 60_000)
            crowd = idle(program.http_port, 400)
            for each in crowd:
                stack.callback(each.close)
            for each in crowd:
                each.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
            run.count += len(crowd)
            time.sleep(STUCK)
