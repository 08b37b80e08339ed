"""The aggregator: how many results it takes, what they cost in memory, how quickly they are read."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, mebibytes, milliseconds
from benchmarks.processes import run
from benchmarks.surroundings import Surroundings

_LOAD = str(Path(__file__).with_name("aggregator_load.py").absolute())


def aggregator(around: Surroundings) -> Iterator[Figure]:
    """With 100,000 results in it."""
    yield from _loaded(around, 100_000)


def aggregator_million(around: Surroundings) -> Iterator[Figure]:
    """With 1,000,000."""
    yield from _loaded(around, 1_000_000)


def _loaded(around: Surroundings, results: int) -> Iterator[Figure]:
    found = json.loads(run([around.product.python, _LOAD, str(results)]).stderr)
    yield milliseconds("aggregator, start to listening", found["start"], aim=400)
    yield mebibytes("  memory, idle", found["idle"], aim=45)
    yield _microseconds("  a result by our stream, processor", found["http"], aim=10)
    yield _microseconds("  a result by gRPC, processor", found["grpc"], aim=50)
    yield mebibytes(f"  memory after {results:,} results", found["memory"], aim=120)
    yield mebibytes("  database", found["file"])
    yield milliseconds("  exposition", found["text"], aim=100)
    yield milliseconds("  older JSON, all of them", found["json"])
    yield milliseconds("  /v1/status, a page", found["status"], aim=100)


def _microseconds(name: str, seconds: list[float], *, aim: float) -> Figure:
    return Figure(name=name, unit="µs", values=tuple(1e6 * value for value in seconds), aim=aim)
