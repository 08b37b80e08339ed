"""Measure how long one reader of the aggregator delays others, with the maximum number of states."""

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from benchmarks.figures import Figure, milliseconds
from benchmarks.results import Server, aggregator, get
from benchmarks.surroundings import Surroundings
from nodeprefetch.aggregator.store.schema import open_database

_NODES, _IMAGES, _SKEWED, _RUNS = 10_000, 50, 5, 200_000
_NAMES, _CLASSES = 10_000, ("", "passing", "permanent", "cancelled")
"""Number of images with attempts."""

_PAUSE = 0.002
"""Seconds between two health checks."""

_READ = (
    ("/metrics as text", "/metrics", "text/plain"),
    ("/metrics as JSON", "/metrics", "*/*"),
    ("/v1/status", "/v1/status", "*/*"),
    ("/v1/status?limit=10000", "/v1/status?limit=10000", "*/*"),
    ("/v1/status?image=…, 5,000 of 10,000 nodes", "/v1/status?image=image-1:1&limit=5000", "*/*"),
    ("/v1/status?state=failed, none", "/v1/status?state=failed", "*/*"),
)


def held(around: Surroundings) -> Iterator[Figure]:
    """500,000 states of 10,000 nodes; every request reads fresh data."""
    with aggregator(around, "held", filled=_fill) as server:
        for name, path, accept in _READ:
            took, silent = [], []
            for number in range(3):
                _say_something(server, number)
                with Silence(server) as silence:
                    took.append(get(server, path, accept))
                silent.append(silence.longest)
            yield milliseconds(f"GET {name}", took)
            yield milliseconds("  longest wait of others", silent, goal=100)


class Silence:
    """Requests /healthz repeatedly inside its block.

    Args:
        server: whom.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.longest = 0.0
        """Longest response time in seconds."""

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(*self._server.submission)
        while not self._over.is_set():
            began = time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(_PAUSE)
        connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _say_something(server: Server, number: int) -> None:
    """Change one state, which invalidates all cached counts."""
    body = (
        b'{"run_id":"r%d","node":"node-1","version":"1","events":[{"event":"image_finished","image":"image-0:1",'
        b'"outcome":"succeeded","policy":"Always","attempts":1,"elapsed":1}]}' % number
    )
    connection = http.client.HTTPConnection(*server.submission)
    connection.request("POST", "/v1/events", body, {"Content-Type": "application/x-ndjson"})
    connection.getresponse().read()
    connection.close()


def _fill(directory: Path) -> None:
    now = int(time.time())
    with open_database(directory) as database:
        database.execute("BEGIN")
        database.execute("INSERT INTO instance VALUES (1, '', ?)", (now,))
        for table, name, count in (("node", "node-{}", _NODES), ("image", "image-{}:1", _NAMES)):
            database.executemany(
                f"INSERT INTO {table} (id, name, heard) VALUES (?, ?, ?)",
                ((number, name.format(number), now) for number in range(1, count + 1)),
            )
        database.executemany(
            "INSERT INTO run (id, run_id, instance, node, version, runtime, started_at, ended_at, ended, heard)"
            " VALUES (?, ?, 1, ?, '1.0', 'containerd 2.0.0', ?, ?, 'finished', ?)",
            ((number, f"run-{number}", number % _NODES + 1, now, now, now) for number in range(1, _RUNS + 1)),
        )
        database.executemany(
            "INSERT INTO state (instance, node, image, run, state, since, attempt, duration, error, error_class,"
            " reason, size, digest, received)"
            " VALUES (1, ?, ?, ?, 'succeeded', ?, 1, 2.5, '', '', '', 100000000, ?, ?)",
            (
                (
                    node,
                    image,
                    node,
                    now,
                    f"sha256:{node % 2 if image <= _SKEWED else image:064}",
                    now,
                )
                for node in range(1, _NODES + 1)
                for image in range(1, _IMAGES + 1)
            ),
        )
        database.executemany(
            "INSERT INTO tally VALUES (?, ?, 2.5, 1000, ?)",
            ((image, kind, bytes(112)) for image in range(1, _NAMES + 1) for kind in _CLASSES),
        )
        database.execute("COMMIT")
