"""A stand-in for image-prefetcher's aggregator in a process of its own: `/Metrics/Submit`."""

import json
import sys
from pathlib import Path

from tests.support.spawn import Background, Daemon

Fields = dict[str, str | int]


class LegacyAggregator(Background):
    """The aggregator in the background; runs inside its block.

    Args:
        directory: for its log.
    """

    def __init__(self, directory: Path) -> None:
        self._log = directory / "legacy-aggregator.log"
        self._port = 0
        self._daemon: Daemon | None = None

    @property
    def endpoint(self) -> str:
        """The value for `--metrics-endpoint`."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, at the same port as before, and wait until it listens."""
        self._log.write_text("")
        command = [sys.executable, "-m", "tests.support.grpc_metrics_grpcio", str(self._port)]
        self._daemon = Daemon(command, self._log, {"PYTHONUNBUFFERED": "1"})
        self._port = self._daemon.wait_for_port()

    def stop(self) -> None:
        """Kill it with SIGKILL."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon = None

    def results(self) -> list[Fields]:
        """The results acknowledged since its start, without fields that are zero or empty."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
