"""Loads an aggregator inside the program's own environment: prints figures as JSON to standard error.

aggregator_load.py RESULTS
"""

import http.client
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import trio

from nodeprefetch.events import AttemptFinished, Batch
from nodeprefetch.rpc import open_channel
from nodeprefetch.rpc.metrics import MetricsStub, Result
from nodeprefetch.testing.aggregator import RunningAggregator, aggregator_process

EVENTS = 500
IMAGES = 50
BATCHES_OF_A_RUN = 5


def main(results: int) -> dict[str, list[float]]:
    """Measure. Times are of the aggregator's processor where they are for a result."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="npf-") as place:
        data = Path(place, "data")
        began = time.monotonic()
        with aggregator_process(data, Path(place, "log")) as (daemon, running):
            found["start"] = [time.monotonic() - began]
            found["idle"] = [_memory(daemon.pid)]
            found["http"] = list(_by_http(running, daemon.pid, results))
            found["memory"] = [_memory(daemon.pid)]
            found["file"] = [float(sum(each.stat().st_size for each in data.iterdir()))]
            found["json"] = [_timed(running, "/metrics") for _ in range(3)]
            found["text"] = [_timed(running, "/metrics", accept="text/plain") for _ in range(3)]
            found["status"] = [_timed(running, "/v1/status") for _ in range(3)]
            found["grpc"] = [trio.run(_by_grpc, running.grpc_port, daemon.pid, 9_000) for _ in range(3)]
    return found


def _by_http(running: RunningAggregator, pid: int, results: int) -> Iterator[float]:
    """Seconds a result, for each hundredth part."""
    connection = http.client.HTTPConnection("127.0.0.1", running.http_port)
    batches = max(1, results // EVENTS)
    for part in range(100):
        bodies = [_body(number) for number in range(part * batches // 100, (part + 1) * batches // 100)]
        before = _processor(pid)
        for body in bodies:
            connection.request("POST", "/v1/events", body, {"content-type": "application/msgpack"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
        if bodies:
            yield (_processor(pid) - before) / (len(bodies) * EVENTS)
    connection.close()


def _body(number: int) -> bytes:
    run = number // BATCHES_OF_A_RUN
    events = tuple(
        AttemptFinished(
            attempt_id=str(uuid.uuid4()),
            image=f"registry.example.com/team/app{index % IMAGES}:1.2.3",
            attempt=1,
            started_at=1.7e9,
            duration=2.5,
            limit=30.0,
            digest="sha256:" + "a" * 64,
            size=10_000_000,
        )
        for index in range(EVENTS)
    )
    return msgspec.msgpack.encode(
        Batch(run_id=str(run), node=f"node-{run % 1000}", version="1", instance="main", events=events)
    )


async def _by_grpc(port: int, pid: int, results: int) -> float:
    messages = [
        Result(attempt_id=str(uuid.uuid4()), started_at=1_700_000_000, image="a:1", duration_ms=1500, node="pod")
        for _ in range(results)
    ]
    async with open_channel(f"http://127.0.0.1:{port}") as channel:
        before = _processor(pid)
        await MetricsStub(channel).submit(messages)
        return (_processor(pid) - before) / results


def _timed(running: RunningAggregator, path: str, **headers: str) -> float:
    began = time.monotonic()
    assert running.ask("GET", path, headers=headers).status == 200
    return time.monotonic() - began


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _memory(pid: int) -> float:
    """Bytes of the largest resident set."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.stderr.write(json.dumps(main(int(sys.argv[1]))))
