"""Starts real programs for tests, such that none outlives this process, however that ends."""

import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Self

from nodeprefetch.errors import NodeprefetchError

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STOPS_WITHIN = 10.0
"""Seconds after SIGTERM until SIGKILL."""


class DaemonError(NodeprefetchError):
    """A program that a test needs did not start, or ended before its time."""


def find_program(name: str) -> str | None:
    """The path of an installed program, also where an administrator's directories are not in PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")


class Background(ABC):
    """What runs from the beginning of its `with` block to the end, and may be stopped and started in it."""

    @abstractmethod
    def start(self) -> None:
        """Start it; return when it is ready."""

    @abstractmethod
    def stop(self) -> None:
        """End it, also where it has not got ready, or has ended."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Daemon:
    """One program in the background, writing to a log file.

    Args:
        command: the program and its arguments.
        log: where standard output and error go; appended to.
        environment: all that the program finds in its environment, PATH apart.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        setpriv = find_program("setpriv")
        # The kernel kills the program when the thread that started it ends: hence a thread that never does.
        # setpriv (util-linux) in place of preexec_fn, which is not safe in a process with threads.
        leash = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        with log.open("ab") as output:
            self._process = (
                _starter()
                .submit(
                    subprocess.Popen,
                    [*leash, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={"PATH": _SYSTEM_PATH, **environment},
                    start_new_session=True,  # Ctrl-C at a terminal is for us; we stop it in order
                )
                .result()
            )

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until(self, is_ready: Callable[[], bool], *, patience: float = 20.0) -> None:
        """Block until it is ready.

        Args:
            is_ready: asked again and again.
            patience: seconds; a guard against a hanging test, not a policy.

        Raises:
            DaemonError: it ended, or the patience did; the text has the end of its log.
        """
        pauses = max(1, round(patience / 0.02))
        for _ in range(pauses):
            if is_ready():
                return
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        state = "did not get ready" if self.is_running else f"ended with status {self._process.returncode}"
        self.kill()
        tail = self._log.read_text(errors="replace")[-2000:]
        raise DaemonError(f"{self._process.args!r} {state}. The end of its log:\n{tail}")

    def wait_for_port(self) -> int:
        """Block until its log has `listening PORT`, and return the port.

        Raises:
            DaemonError: it ended, or that takes too long.
        """

        def words_after() -> list[str]:
            return self._log.read_text(errors="replace").partition("listening ")[2].split()

        self.wait_until(lambda: bool(words_after()))
        return int(words_after()[0])

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL where it does not obey."""
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self.is_running:
            self._process.kill()
        self._process.wait()


@cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="starts daemons")
