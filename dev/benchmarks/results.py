"""Measure the aggregator: results per second, their cost, and the delay until a reader sees them."""

import http.client
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import msgspec

from benchmarks.figures import Figure, mebibytes, milliseconds
from benchmarks.processes import PATIENCE, peak_memory
from benchmarks.surroundings import Surroundings
from nodeprefetch.batch import Batch
from nodeprefetch.events import AttemptFinished
from nodeprefetch.rpc.metrics import Result

_BATCH = 500
_STREAMS = 2
_NODES, _IMAGES = 1000, 100


@dataclass(frozen=True)
class Server:
    """An aggregator in its own process."""

    pid: int
    reading: tuple[str, int]
    submission: tuple[str, int]
    started: float
    """Seconds from its start to its first open port."""

    database: Path


def results(around: Surroundings) -> Iterator[Figure]:
    """Submit each amount to an aggregator with a database on disk."""
    with aggregator(around, "first") as server:
        yield milliseconds("aggregate: start to its ports", [server.started], goal=400)
        time.sleep(1)
        yield mebibytes("  memory when idle", [resident(server.pid)], goal=45)
        rates = [submit(server, bodies(first, 100_000)) for first in (0,)]
        yield Figure(name="results per second over HTTP, batches of 500", unit="/s", values=tuple(rates))
        yield from _reading(server, "100,000")
        yield from _at_rest(server, "100,000")
        yield milliseconds("  an event from submission to a reader of the live stream", live(server), goal=100)
        yield Figure(name="results per second over gRPC", unit="/s", values=(submit_by_grpc(server, 50_000),))
    with aggregator(around, "second") as server:
        rates = [submit(server, bodies(first, 100_000)) for first in range(0, 1_000_000, 100_000)]
        yield Figure(name="results per second, ten times 100,000", unit="/s", values=tuple(rates))
        yield from _at_rest(server, "1,000,000", goal=120)


def _reading(server: Server, amount: str) -> Iterator[Figure]:
    for name, path, accept, goal in (
        ("GET /metrics as JSON", "/metrics", "*/*", None),
        ("GET /metrics as text", "/metrics", "text/plain", 100),
        ("GET /v1/status", "/v1/status", "*/*", None),
    ):
        seconds = [get(server, path, accept) for _ in range(3)]
        yield milliseconds(f"  {name} after {amount}", seconds, goal=goal)


def _at_rest(server: Server, amount: str, goal: float | None = None) -> Iterator[Figure]:
    yield mebibytes(f"  memory after {amount}, at most", [peak_memory(server.pid)], goal=goal)
    size = sum(file.stat().st_size for file in server.database.iterdir())
    yield mebibytes(f"  database after {amount}", [size])


@contextmanager
def aggregator(
    around: Surroundings,
    name: str,
    filled: Callable[[Path], None] = lambda _directory: None,
    flags: Sequence[str] = (),
) -> Iterator[Server]:
    """Run one on free ports until the end of the block or the timeout.

    Args:
        around: where.
        name: of its directory.
        filled: puts something into its directory before it starts.
        flags: of `aggregate`, in addition.
    """
    directory = around.directory / f"aggregator-{name}"
    directory.mkdir()
    filled(directory)
    ports = ["--bind", "127.0.0.1", "--http-port", "0", "--grpc-port", "0"]
    began = time.monotonic()
    with subprocess.Popen(
        [around.product.program, "aggregate", *ports, "--data-dir", str(directory), *flags],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        try:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(2)]
            started = time.monotonic() - began
            reading, submission = (line.partition("//")[2].partition(" ")[0].split(":") for line in lines)
            yield Server(
                process.pid, (reading[0], int(reading[1])), (submission[0], int(submission[1])), started, directory
            )
        finally:
            timer.cancel()
            process.kill()


def bodies(first: int, amount: int) -> list[bytes]:
    """Return batches of attempts with IDs from a number on, before measuring starts."""
    return [
        msgspec.msgpack.encode(
            Batch(
                run_id=f"run-{number % _NODES}",
                node=f"node-{number % _NODES}",
                version="1",
                events=tuple(_attempt(number * _BATCH + each) for each in range(_BATCH)),
            )
        )
        for number in range(first // _BATCH, (first + amount) // _BATCH)
    ]


def _attempt(number: int) -> AttemptFinished:
    return AttemptFinished(
        at=time.time(),
        attempt_id=f"00000000-0000-4000-8000-{number:012x}",
        image=f"registry.example.com/team/app{number % _IMAGES}:1",
        attempt=1,
        started_at=time.time(),
        duration=1.25,
        limit=30,
        size=100_000_000,
        digest="sha256:" + "0" * 64,
    )


def submit(server: Server, prepared: Sequence[bytes]) -> float:
    """Return results per second over a few persistent connections."""
    began = time.monotonic()
    with futures.ThreadPoolExecutor(_STREAMS) as threads:
        list(threads.map(lambda part: _send(server, part), [prepared[each::_STREAMS] for each in range(_STREAMS)]))
    return len(prepared) * _BATCH / (time.monotonic() - began)


def _send(server: Server, prepared: Sequence[bytes]) -> None:
    connection = http.client.HTTPConnection(*server.submission)
    for body in prepared:
        connection.request("POST", "/v1/events", body, {"Content-Type": "application/msgpack"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:  # noqa: PLR2004
            raise RuntimeError(f"{response.status}: {answer[:500]!r}")
    connection.close()


def submit_by_grpc(server: Server, amount: int) -> float:
    """Return results per second in one stream by grpcio."""
    messages = [
        bytes(
            Result(
                attempt_id=f"00000000-0000-4000-9000-{number:012x}",
                started_at=1,
                image=f"registry.example.com/team/app{number % _IMAGES}:1",
                duration_ms=1250,
                node=f"node-{number % _NODES}",
                size_bytes=100_000_000,
            )
        )
        for number in range(amount)
    ]
    with grpc.insecure_channel("{}:{}".format(*server.submission)) as channel:
        call: Any = channel.stream_unary("/Metrics/Submit")
        began = time.monotonic()
        call(iter(messages))
        return amount / (time.monotonic() - began)


def live(server: Server) -> list[float]:
    """Return seconds from submitting an event to its arrival at a reader of the live stream, several times."""
    connection = http.client.HTTPConnection(*server.reading)
    connection.request("GET", "/v1/events", headers={"Accept": "text/event-stream"})
    stream = connection.getresponse()
    seconds = []
    for number in range(10):
        mark = f"live-{number}"
        event = msgspec.structs.replace(_attempt(0), attempt_id=mark)
        body = msgspec.msgpack.encode(Batch(run_id="live", node="live", version="1", events=(event,)))
        began = time.monotonic()
        _send(server, [body])
        while mark.encode() not in stream.readline():
            pass
        seconds.append(time.monotonic() - began)
    connection.close()
    return seconds


def get(server: Server, path: str, accept: str) -> float:
    """Return the seconds that a request takes."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(*server.reading)
    connection.request("GET", path, headers={"Accept": accept})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:  # noqa: PLR2004
        raise RuntimeError(f"{path}: {response.status}: {body[:500]!r}")
    connection.close()
    return time.monotonic() - began


def resident(pid: int) -> int:
    """Return the current memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
