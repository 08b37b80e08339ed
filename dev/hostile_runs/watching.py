"""Watch the memory and health of an attacked program from another process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LARGEST_RSS = 256 << 20
"""The memory limit of the manifests in bytes."""

DEADLY_RSS = 1 << 30
"""Bytes at which the watch kills the program, so that a successful attack does not harm this machine."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Results of a watch."""

    rss: int
    health: float | None
    refusals: list[str]
    """Responses of /healthz other than 200."""

    is_alive: bool


class Watch:
    """A running watch."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._watched: Watched | None = None

    def stop(self) -> Watched:
        """Stop it and return its results."""
        if self._watched is None:
            out, _ = self._process.communicate(timeout=30)
            self._watched = Watched(**json.loads(out))
        return self._watched


@contextmanager
def watching(pid: int, port: int = 0, ca_file: Path | None = None) -> Iterator[Watch]:
    """Start watching.

    Args:
        pid: of the program.
        port: where it answers /healthz; 0: nowhere.
        ca_file: it speaks TLS.
    """
    program = Path(__file__).with_name("watch.py")
    command = [sys.executable, str(program), str(pid), str(port), str(DEADLY_RSS), str(ca_file or "")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        watch = Watch(process)
        assert process.stdout is not None  # it is a pipe
        process.stdout.readline()  # it watches
        try:
            yield watch
        finally:
            with suppress(subprocess.TimeoutExpired):
                watch.stop()
            process.kill()
