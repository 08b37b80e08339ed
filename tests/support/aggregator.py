"""Runs an aggregator for tests: in a thread of this process, or as a process of its own that can be killed."""

import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import trio

from nodeprefetch.aggregator.access.token_reviews import TokenReviewer
from nodeprefetch.aggregator.serve import serve
from nodeprefetch.aggregator.settings import AggregatorSettings
from tests.support.spawn import Daemon

_PROGRAM = """
import signal, sys, trio
from pathlib import Path
from nodeprefetch.aggregator.serve import serve
from nodeprefetch.aggregator.settings import AggregatorSettings

async def main():
    settings = AggregatorSettings(
        bind="127.0.0.1", http_port=int(sys.argv[2]), grpc_port=0, data_dir=Path(sys.argv[1])
    )
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        await serve(settings, log=lambda line: print(line, flush=True), stop=signals)

trio.run(main)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""

    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningAggregator:
    """Its ports."""

    http_port: int
    grpc_port: int

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> Answer:
        """Send one request over a new connection, with Python's own client."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port, timeout=300)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, body=response.read())
        finally:
            connection.close()


@contextmanager
def running_aggregator(
    settings: AggregatorSettings, reviewer: TokenReviewer | None = None
) -> Iterator[RunningAggregator]:
    """Run an aggregator in a thread; shuts it down at the end of the block.

    Args:
        settings: with 0 for ports.
        reviewer: asks the API server about tokens.
    """
    lines: SimpleQueue[str | BaseException] = SimpleQueue()
    stop = trio.Event()
    tokens: SimpleQueue[trio.lowlevel.TrioToken] = SimpleQueue()

    async def main() -> None:
        tokens.put(trio.lowlevel.current_trio_token())
        await serve(settings, log=lines.put, stop=stop, reviewer=reviewer)

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            lines.put(error)

    thread = Thread(target=run)
    thread.start()
    token = tokens.get(timeout=300)
    try:
        yield RunningAggregator(http_port=_port(lines.get(timeout=300)), grpc_port=_port(lines.get(timeout=20)))
    finally:
        with suppress(trio.RunFinishedError):  # it did not come to serving
            token.run_sync_soon(stop.set)
        thread.join(300)
    while not lines.empty():
        if isinstance(error := lines.get(), BaseException):
            raise error


@contextmanager
def aggregator_process(data_dir: Path, log: Path, *, port: int = 0) -> Iterator[tuple[Daemon, RunningAggregator]]:
    """Run an aggregator in a process of its own; kills it at the end of the block.

    Args:
        data_dir: where its database is.
        log: where its output goes; emptied first.
        port: for HTTP; 0: any. To start again on the same one, use `free_port`.
    """
    log.write_bytes(b"")
    daemon = Daemon([sys.executable, "-c", _PROGRAM, str(data_dir), str(port)], log, {})
    try:
        daemon.wait_until(lambda: log.read_text().count("submissions)\n") == 2)
        first, second, *_ = log.read_text().splitlines()
        yield daemon, RunningAggregator(http_port=_port(first), grpc_port=_port(second))
    finally:
        daemon.kill()


def _port(line: str | BaseException) -> int:
    if isinstance(line, BaseException):
        raise line
    return int(line.partition(" (")[0].rpartition(":")[2])


def on_any_port(**given: Any) -> AggregatorSettings:
    """Return settings for a test: on 127.0.0.1, and on free ports unless others are given."""
    settings: dict[str, Any] = {"bind": "127.0.0.1", "http_port": 0, "grpc_port": 0}
    return AggregatorSettings(**(settings | given))
