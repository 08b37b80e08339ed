"""Runs the program for a case of `byte_cases`: what passed over the line to the node, and what was told meanwhile."""

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from nodeprefetch.testing.images import Image
from nodeprefetch.testing.registry import FakeRegistry
from tests.support.byte_cases import Case, Victim
from tests.support.containerd import Containerd
from tests.support.proxy import FaultProxy

_LOOK_EVERY = 0.02
_REPOSITORY = "bytes/app:1"
_PHASES = ("resolving", "downloading", "unpacking")

Line = dict[str, Any]
"""One line of the program's log."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a case came to."""

    image: Image
    code: int
    """Exit code of the last run of the program."""

    seconds: float
    """From the first start to the last end."""

    bytes_passed: int
    """Over the line to the node, with HTTP's headers, and with what the line had taken when the node hung up."""

    runs: Sequence[Sequence[Line]]
    """Log of each run of the program."""

    @property
    def times_the_image(self) -> float:
        """Bytes that passed by bytes of the image: 1 when nothing came twice."""
        return self.bytes_passed / self.image.size

    @property
    def layers_size(self) -> int:
        """Bytes that progress has to end at."""
        return sum(layer.size for layer in self.image.layers)

    @property
    def attempts(self) -> int:
        """Those that began, in all runs."""
        return len(self._lines("pulling"))

    @property
    def cuts(self) -> list[str]:
        """Why attempts failed."""
        return [line["error"] for line in self._lines("attempt failed")]

    @property
    def reasons(self) -> list[str]:
        """The same in one word each."""
        return [line["reason"] for line in self._lines("attempt failed")]

    @property
    def progress(self) -> list[list[int]]:
        """The bytes told by each run, one number for each time."""
        return [[line.get("done", 0) for line in run if line["msg"] in _PHASES] for run in self.runs]

    @property
    def totals(self) -> set[int]:
        """The totals told, where one was known."""
        return {line["total"] for line in self._lines(*_PHASES) if "total" in line}

    def _lines(self, *messages: str) -> list[Line]:
        return [line for run in self.runs for line in run if line["msg"] in messages]


def pull(
    case: Case,
    image: Image,
    containerd: Containerd,
    program: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    plain: bool = False,
) -> Outcome:
    """Let the program pull the image; afterwards containerd holds nothing of it.

    Args:
        case: what happens meanwhile.
        image: the case's.
        containerd: where to.
        program: the command, without `fetch`.
        environment: for the program, in place of ours.
        plain: without leases, limits on the wall.
    """
    with FakeRegistry() as registry:
        registry.add(_REPOSITORY, image)
        host, _, port = registry.address.partition(":")
        with FaultProxy((host, int(port)), then=case.passage) as line:
            name = f"{line.address}/{_REPOSITORY}"
            runs = _Runs(case, containerd, line, [*program, "fetch", *_flags(case, containerd, plain=plain), name])
            began = time.monotonic()
            try:
                code = runs.to_the_end(environment)
                seconds = time.monotonic() - began
                passed = sum(connection.bytes_down for connection in line.connections)
            finally:
                _forget(containerd, name)
    return Outcome(image=image, code=code, seconds=seconds, bytes_passed=passed, runs=runs.logs)


class _Runs:
    """The program, run until it ends by itself; stalls come to their end meanwhile, and somebody may be killed."""

    def __init__(self, case: Case, containerd: Containerd, line: FaultProxy, command: Sequence[str]) -> None:
        self.logs: list[list[Line]] = []
        self._case = case
        self._containerd = containerd
        self._line = line
        self._command = command
        self._victim = case.killed
        self._are_stalls_over = not case.stalls

    def to_the_end(self, environment: Mapping[str, str] | None) -> int:
        """Exit code of the last run."""
        while True:
            with (
                tempfile.TemporaryFile() as log,
                subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment
                ) as process,
            ):
                try:
                    is_over = self._watch(process)
                finally:
                    process.kill()
                    process.wait()
                self.logs.append(_read(log))
            if is_over:
                return process.returncode

    def _watch(self, process: "subprocess.Popen[bytes]") -> bool:
        """Until it ends. False: it was to be killed, and to be started again."""
        while process.poll() is None:
            time.sleep(_LOOK_EVERY)
            self._end_stalls()
            if self._is_time_to_kill():
                victim, self._victim = self._victim, None
                if victim is Victim.FETCH:
                    return False
                self._containerd.kill()
                self._containerd.start()
        return True

    def _end_stalls(self) -> None:
        """When every layer has stalled as often as it was to, the rest is smooth."""
        if self._are_stalls_over:
            return
        stalled = [one for one in self._line.connections if one.bytes_down == self._case.passage.after]
        if len(stalled) >= self._case.stalls * self._case.layers:
            self._are_stalls_over = True
            self._line.script(then=self._case.smooth)

    def _is_time_to_kill(self) -> bool:
        return self._victim is not None and any(
            one.bytes_down >= self._case.layer / 2 for one in self._line.connections
        )


def _flags(case: Case, containerd: Containerd, *, plain: bool) -> list[str]:
    options = {
        "cri-socket": containerd.socket,
        "initial-pull-attempt-timeout": case.limit,
        "log-format": "json",
        "progress-interval": "1ms",  # all that is seen
        **case.options,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [*flags, "--attempt-clock=wall", "--no-resume"] if plain else flags


def _read(log: IO[bytes]) -> list[Line]:
    """Its lines; the last one may have been broken off."""
    log.seek(0)
    return [json.loads(line) for line in log.read().splitlines(keepends=True) if line.endswith(b"}\n")]


def _forget(containerd: Containerd, name: str) -> None:
    """Take the image away, and what a run that failed has left of it."""
    if containerd.pid is None:
        return
    for lease in containerd.ctr("leases", "list", "--quiet").split():
        if lease.startswith("nodeprefetch-"):
            containerd.ctr("leases", "delete", "--sync", lease)
    repository = name.rpartition(":")[0]
    records = [row.split() for row in containerd.ctr("images", "list").splitlines()[1:]]
    targets = {row[2] for row in records if row[0].startswith(repository)}
    if names := [row[0] for row in records if row[2] in targets]:
        containerd.ctr("images", "remove", "--sync", *names)
