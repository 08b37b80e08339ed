"""HTTP/1.1 for attacks: submissions, queries, raw bytes."""

import gzip
import http.client
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress

import msgspec

from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.events import AttemptFinished
from tests.support.aggregator_program import AggregatorProgram

MSGPACK = {"Content-Type": "application/msgpack"}
LINES = {"Content-Type": "application/x-ndjson"}


def post(
    program: AggregatorProgram,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    port: int = 0,
    patience: float = 30.0,
) -> tuple[int, bytes]:
    """Submit over a new connection. Return status and response; 0 without a response."""
    with closing(http.client.HTTPConnection("127.0.0.1", port or program.http_port, timeout=patience)) as connection:
        try:
            connection.request("POST", "/v1/events", body, headers or MSGPACK)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error).encode()


def get(program: AggregatorProgram, path: str, *, patience: float = 30.0) -> tuple[int, bytes]:
    """Send a GET request. Return status and response; 0 without a response."""
    with closing(http.client.HTTPConnection("127.0.0.1", program.http_port, timeout=patience)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error).encode()


def raw(port: int, *parts: bytes, pause: float = 0.0, patience: float = 10.0) -> bytes | None:
    """Send bytes and read until the server closes; None if it does not within the timeout."""
    answer = b""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=patience)) as connection:
        ends = time.monotonic() + patience
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        try:
            while part := connection.recv(65536):
                answer += part
                if time.monotonic() > ends:
                    return None
        except TimeoutError:
            return None
        except OSError:
            return answer
    return answer


def idle(port: int, count: int) -> list[socket.socket]:
    """Open idle connections, as many as possible."""
    found: list[socket.socket] = []
    with suppress(OSError):
        for _ in range(count):
            found.append(socket.create_connection(("127.0.0.1", port), timeout=5))  # noqa: PERF401 - what there is stays
    return found


def batch(
    events: Iterable[AnyEvent] = (), *, node: str = "node-1", run_id: str = "run-1", instance: str = "main"
) -> Batch:
    """Return a batch."""
    return Batch(run_id=run_id, node=node, version="1", instance=instance, events=tuple(events))


def packed(events: Iterable[AnyEvent], **about: str) -> bytes:
    """Return an encoded batch."""
    return msgspec.msgpack.encode(batch(events, **about))


def lines(batches: Sequence[Batch], *, compressed: bool = False) -> tuple[bytes, dict[str, str]]:
    """Return a body of many batches, and its headers."""
    body = b"\n".join(msgspec.json.encode(each) for each in batches)
    return (gzip.compress(body), {**LINES, "Content-Encoding": "gzip"}) if compressed else (body, LINES)


def results(count: int, *, prefix: str = "a", images: int = 500, text: str = "") -> list[AnyEvent]:
    """Return normal attempts."""
    return [
        AttemptFinished(
            attempt_id=f"{prefix}-{number}",
            image=f"registry.test/team/app-{number % images}:1",
            attempt=1,
            started_at=1e9,
            duration=1.5,
            limit=30,
            error=text,
            error_class="passing" if text else "",
            size=50_000_000,
        )
        for number in range(count)
    ]


def fill(program: AggregatorProgram, count: int, *, nodes: int = 10) -> None:
    """Submit normal results of some nodes, in requests of 1,000.

    Raises:
        RuntimeError: they were not taken.
    """
    for number in range(0, count, 1000):
        node = f"node-{number // 1000 % nodes}"
        status, said = post(program, packed(results(1000, prefix=f"fill-{number}"), node=node, run_id=f"run of {node}"))
        if status != 200:
            raise RuntimeError(f"ordinary results were answered {status} {said[:200]!r}")
