"""The real `nodeprefetch aggregate` in a process of its own: starts, kills, restarts and queries it."""

import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support.aggregator import Answer
from tests.support.patience import PATIENCE
from tests.support.ports import free_ports
from tests.support.spawn import Background, Daemon

_PORTS = 2
"""Lines that it prints when it listens."""


class AggregatorProgram(Background):
    """The program in the background, on 127.0.0.1; runs inside its block.

    Args:
        directory: for its log and its database.
        arguments: more of its command line.
        command: which of its names it is started by.
        keeps: its database is a file.
        ca_file: it speaks TLS, and this file has the authorities to trust for that.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        command: str = "aggregate",
        keeps: bool = True,
        ca_file: Path | None = None,
    ) -> None:
        self.data_dir = directory / "data"
        self._log = directory / "aggregator.log"
        self._arguments = (command, "--bind=127.0.0.1", *([f"--data-dir={self.data_dir}"] if keeps else []), *arguments)
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self._daemon: Daemon | None = None
        self.http_port, self.grpc_port = free_ports(2)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._log.write_text("")
        ports = [f"--http-port={self.http_port}", f"--grpc-port={self.grpc_port}"]
        ours = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        self._daemon = Daemon(
            [sys.executable, "-m", "nodeprefetch", *self._arguments, *ports],
            self._log,
            {"PYTHONUNBUFFERED": "1", **ours},
        )
        self._daemon.wait_until(lambda: len(self._addresses()) == _PORTS)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon = None

    def stop(self) -> None:
        """Shut it down."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    @property
    def pid(self) -> int:
        """Its process ID while it runs."""
        if self._daemon is None:
            raise RuntimeError("it is not up")
        return self._daemon.pid

    @property
    def is_running(self) -> bool:
        """Whether its process exists."""
        return self._daemon is not None and self._daemon.is_running

    @property
    def endpoint(self) -> str:
        """The value for `--metrics-endpoint`: the port for submissions in both protocols."""
        return f"https://localhost:{self.grpc_port}" if self._tls else f"127.0.0.1:{self.grpc_port}"

    @property
    def log_text(self) -> str:
        """Its output since the last start."""
        return self._log.read_text(errors="replace")

    def memory(self, which: str) -> int:
        """Return bytes of memory, by the kernel's name: `VmRSS`, `VmHWM`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith(f"{which}:"))
        return int(line.split()[1]) * 1024

    def ask(self, path: str, *, token: str = "", **headers: str) -> Answer:
        """Send a `GET` over a new connection, with Python's own client. `_` in a header's name stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        with closing(self.connect()) as connection:
            connection.request("GET", path, headers=named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, body=response.read())

    def results(self) -> list[dict[str, Any]]:
        """`GET /metrics` in image-prefetcher's format."""
        found: list[dict[str, Any]] = json.loads(self.ask("/metrics").body)
        return found

    def status(self, query: str = "") -> dict[str, Any]:
        """`GET /v1/status`."""
        found: dict[str, Any] = json.loads(self.ask(f"/v1/status{query}").body)
        return found

    def states(self, instance: str, node: str) -> dict[str, str]:
        """Return image to state, from the status."""
        return {
            image["image"]: image["state"]
            for found in self.status()["instances"]
            if found["instance"] == instance
            for each in found["nodes"]
            if each["node"] == node
            for image in each["images"]
        }

    @contextmanager
    def following(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The live stream from now on, message by message: the data, with the ID as `id`.

        Its iterator raises TimeoutError when nothing comes for five minutes or somewhat more.
        """
        with closing(self.connect()) as connection:
            connection.request("GET", "/v1/events")
            with connection.getresponse() as response:
                response.readline()  # `retry`: the reader is counted, what comes from now on is heard
                yield _messages(response)

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the port for queries and submissions; the first request opens it."""
        if self._tls is not None:
            return http.client.HTTPSConnection("localhost", self.http_port, context=self._tls, timeout=PATIENCE)
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)

    def _addresses(self) -> Sequence[str]:
        return [line for line in self.log_text.splitlines(keepends=True) if " on http" in line and line.endswith("\n")]


def _messages(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    fields: dict[str, str] = {}
    latest = time.monotonic()
    while line := response.readline().decode():
        if line.startswith(":"):  # a sign of life
            if time.monotonic() - latest > PATIENCE:
                raise TimeoutError("no message comes")
        elif line != "\n":
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield {"id": fields.get("id"), **json.loads(fields["data"])}
            fields, latest = {}, time.monotonic()
