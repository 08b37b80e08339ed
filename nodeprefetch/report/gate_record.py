"""Remembers since when a node has been waiting for its images, and what has become of its gate.

The count must survive what restarts `fetch`: a container that failed, a run of `keep` that ended. So it is in a file,
in an emptyDir, which lives as long as the pod.

Time is CLOCK_MONOTONIC, with the boot that it belongs to. Whoever sets the wall clock changes nothing, and a node that
was suspended has not waited meanwhile. After a reboot the count starts again.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nodeprefetch.report.gate import GateState

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_LONGEST = 200  # bytes of the file that are read
_LINE = re.compile(r"gate (?P<boot>\S+) (?P<since>[0-9]+\.[0-9]+) (?P<state>[a-z-]+) *\n")
_ROUNDING = 1.0
"""Seconds by which a first run may seem to lie ahead. Further ahead it was on another clock."""

_WIDTH = max(map(len, GateState))

Result = TypeVar("Result")


def boot_id() -> str:
    """Identify the boot of this node; `unknown` if the kernel does not say."""
    try:
        return BOOT_ID.read_text("ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


class GateRecord:
    """The record of this pod, kept in a file where there is one.

    Whatever is wrong with the file, the count begins with this process: a node must not wait for ever.

    Args:
        path: of the file, which is created if it does not exist; empty: none.
        warn: takes messages for people.
        clock: seconds since the boot.
        boot: identifies the boot.
    """

    def __init__(
        self,
        path: str,
        *,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._path = path
        self._warn = warn
        self._clock = clock
        self._boot = boot()
        self.since = clock()
        """When the first run began, seconds since the boot."""

        self.state = GateState.CLOSED
        if path and not self._load():
            self._write()

    @property
    def age(self) -> float:
        """Seconds since the first run on this node."""
        return max(self._clock() - self.since, 0.0)

    def save(self, state: GateState) -> None:
        """Remember what has become of the gate."""
        if state is not self.state:
            self.state = state
            self._write()

    def _load(self) -> bool:
        """Take over what the file has. Returns False if this is the first run."""
        try:
            content = self._with_file(lambda file: os.pread(file, _LONGEST, 0)).rstrip(b"\0")
        except (OSError, ValueError) as error:
            self._give_up_file("read", error)
            return True
        if not content:  # new, or what a crash of the node has left
            return False
        line = _LINE.fullmatch(content.decode("ascii", "replace"))
        if line is None or line["state"] not in list(GateState):
            self._give_up_file("read", ValueError("not written by nodeprefetch"))
            return True
        if line["boot"] != self._boot or float(line["since"]) > self._clock() + _ROUNDING:
            return False
        self.since, self.state = float(line["since"]), GateState(line["state"])
        return True

    def _write(self) -> None:
        if not self._path:
            return
        # Always of one length, and in one call: there is no moment in which the file is half written.
        line = f"gate {self._boot} {self.since:020.6f} {self.state:<{_WIDTH}}\n".encode()
        try:
            self._with_file(lambda file: os.pwrite(file, line, 0))
        except (OSError, ValueError) as error:
            self._give_up_file("write", error)

    def _with_file(self, use: Callable[[int], Result]) -> Result:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        file = os.open(self._path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            return use(file)
        finally:
            os.close(file)

    def _give_up_file(self, what: str, error: OSError | ValueError) -> None:
        why = (error.strerror if isinstance(error, OSError) else "") or error
        self._warn(f"cannot {what} gate file {self._path}: {why}; --gate-timeout counts from the start of this process")
        self._path = ""
