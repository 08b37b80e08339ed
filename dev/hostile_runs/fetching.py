"""Run `fetch` under attack, with a watch and a timeout."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostile_runs.attack import Run
from hostile_runs.watch import memory

EVERY = 0.05


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A finished run of fetch."""

    code: int | None
    """None: it was killed after the timeout."""

    seconds: float
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything it printed."""
        return self.out + self.err


def start(
    *arguments: str,
    stderr: int,
    stdout: int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> "subprocess.Popen[bytes]":
    """Start the program with an empty environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "nodeprefetch", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "NODE_NAME": "node-1", **(environment or {})},
    )


def fetch(
    run: Run,
    *arguments: str,
    patience: float = 30.0,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[["subprocess.Popen[bytes]"], None] | None = None,
    command: str = "fetch",
) -> Ended:
    """Run it until it exits, or kill it after the timeout; excessive memory and tracebacks are failures.

    Args:
        run: where that is noted.
        arguments: of the command line.
        patience: seconds.
        environment: more of it.
        meanwhile: called when it was started.
        command: which one.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile(dir=run.directory) as out, tempfile.TemporaryFile(dir=run.directory) as err:
        process = start(command, *arguments, stdout=out.fileno(), stderr=err.fileno(), environment=environment)
        if meanwhile is not None:
            meanwhile(process)
        code = wait(run, process, patience)
        out.seek(0), err.seek(0)
        said = Ended(
            code=code,
            seconds=time.monotonic() - began,
            out=out.read().decode(errors="replace"),
            err=err.read().decode(errors="replace"),
        )
    run.count += 1
    last = said.err.rstrip().rpartition("\n")[2]
    run.expect("Traceback" not in said.err, f"a traceback: {last[:100]}")
    return said


def wait(run: Run, process: "subprocess.Popen[bytes]", patience: float) -> int | None:
    """Return its exit code and record its memory; None if it had to be killed."""
    ends = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < ends:
        run.rss = max(run.rss, memory(process.pid, "VmHWM") or 0)
        time.sleep(EVERY)
    code = process.poll()
    if code is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
    return code


def small_memory(run: Run) -> None:
    """Expect the memory to stay within the manifest's limit."""
    run.expect(run.rss <= 256 << 20, f"RSS {run.rss >> 20} MiB")


def list_file(run: Run, names: list[str]) -> str:
    """Return a flag with a list of images."""
    path = Path(tempfile.mkstemp(dir=run.directory)[1])
    path.write_text("".join(f"{name}\n" for name in names))
    return f"--image-list-file={path}"
