"""Run a program and measure its time or peak memory."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 100.0
"""Timeout of a run in seconds, so that the benchmark always ends."""

_LOOK_EVERY = 0.004
# Not the sources' directory, from which `python -m` would import.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished program."""

    began: float
    """`time.monotonic()` just before its start; all processes share this clock."""

    seconds: float
    peak: int
    """Peak memory in bytes; 0 if not measured."""

    stderr: str


class RunError(Exception):
    """Raised when a measured program fails."""


def run(command: Sequence[str], *, watch: bool = False, codes: tuple[int, ...] = (0,)) -> Run:
    """Run it until it exits.

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
    """Start all at once. Return the seconds until the last one exited.

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
    """Kill it after the timeout or at the end of the block. `wait` with a timeout checks only every 50 ms."""
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
    """Return the memory in bytes that a program uses when it writes a word to standard error; then kill it."""
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
    """Return the peak resident set of a process in bytes; 0 if it has exited.

    Not what wait4 says: a child begins with the figure of the process that it was forked from.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else 0


def forget_peak_memory(pid: int) -> None:
    """Reset the peak resident set (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
