"""Runs a program and says how long it took, or how much memory it used at most."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 100.0
"""Seconds after which a run is given up, so that the whole always ends."""

_LOOK_EVERY = 0.004
# From another directory than the sources', which `python -m` would take.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A program that ended."""

    began: float
    """`time.monotonic()` just before it was started: that clock is the same in all processes."""

    seconds: float
    peak: int
    """Bytes of memory at most; 0 where nobody watched."""

    stderr: str


class RunError(Exception):
    """A program that was to be measured failed."""


def run(command: Sequence[str], *, watch: bool = False, codes: tuple[int, ...] = (0,)) -> Run:
    """Run it to its end.

    Args:
        command: the program and its arguments.
        watch: look at its memory all the time, which costs it some of its own.
        codes: the exit codes that are no failure.

    Raises:
        RunError: it ended with another code, or did not end.
    """
    began = time.monotonic()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=_ENVIRONMENT, cwd="/"
        ) as process,
    ):
        peak = 0
        with _killed_in_the_end(process):
            while watch and process.poll() is None:
                peak = max(peak, peak_memory(process.pid))
                time.sleep(_LOOK_EVERY)
            process.wait()
        seconds = time.monotonic() - began
        log.seek(0)
        stderr = log.read().decode(errors="replace")
    if process.returncode not in codes:
        raise RunError(f"{command} ended with {process.returncode}: {stderr[-2000:]}")
    return Run(began=began, seconds=seconds, peak=peak, stderr=stderr)


def run_together(commands: Sequence[Sequence[str]]) -> float:
    """Start all at once; the seconds until the last one has ended.

    Raises:
        RunError: one of them failed.
    """
    began = time.monotonic()
    running = [
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
        )
        for command in commands
    ]
    with ExitStack() as stack:
        for process in running:
            stack.enter_context(_killed_in_the_end(process))
        codes = [process.wait() for process in running]
    if any(codes):
        raise RunError(f"{commands[0]} and the others ended with {codes}")
    return time.monotonic() - began


@contextmanager
def _killed_in_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let it run no longer than the patience, nor than the block. `wait` with a limit looks every 50 ms only."""
    timer = threading.Timer(PATIENCE, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def memory_when_it_says(command: Sequence[str], word: str) -> int:
    """Bytes of memory that a program has used when it writes a word to standard error; it is ended then."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_ENVIRONMENT, cwd="/", text=True
    ) as process:
        for line in process.stderr or ():
            if word in line:
                break
        peak = peak_memory(process.pid)
        process.terminate()
    return peak


def peak_memory(pid: int) -> int:
    """The largest resident set of a process so far, in bytes; 0 when it is gone.

    Not what wait4 says: a child begins with the figure of the process that it was forked from.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else 0


def forget_peak_memory(pid: int) -> None:
    """Let the largest resident set begin anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
