"""How many nodes of an instance may pull at once: from a flag, and from a file that may change meanwhile."""

from collections.abc import Callable
from pathlib import Path

import trio

from nodeprefetch.errors import UsageError
from nodeprefetch.text.plain_file import read_plain_file

LOOK_EVERY = 10.0
"""Seconds between two looks at the file; the kubelet updates mounted ConfigMaps within a minute or so."""

ALL = "*"
"""Stands for each instance that has no line of its own."""

_LARGEST_FILE = 1 << 20
_LARGEST_NUMBER = 1_000_000
_SHOWN = 60
"""Characters of a line that is shown in an error."""


def parse_limits(text: str) -> dict[str, int]:
    """Return the limits in a file, by instance.

    A line is `INSTANCE N`, or `* N` or `N` for all other instances; `#` begins a comment.

    Raises:
        ValueError: a line is something else, or repeats an instance.
    """
    limits: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        *names, limit = line.partition("#")[0].rsplit(maxsplit=1) or [""]
        if not limit and not names:
            continue
        instance = names[0].strip() if names else ALL
        if not (limit.isascii() and limit.isdigit() and len(limit) <= len(str(_LARGEST_NUMBER))):
            raise ValueError(f"line {number}: invalid {line.strip()[:_SHOWN]!r} (expected INSTANCE N or * N)")
        if instance in limits:
            raise ValueError(f"line {number}: {instance[:_SHOWN]!r} has a limit already")
        limits[instance] = int(limit)
    return limits


class PullingNodes:
    """The limits of all instances.

    Args:
        default: for instances that the file does not mention; None: no limit.
        file: has the limits of instances; None: the default alone.

    Raises:
        UsageError: the file cannot be read, or is invalid.
    """

    def __init__(self, default: int | None, file: Path | None) -> None:
        self._default = default
        self._file = file
        self._limits: dict[str, int] = {}
        self._problem: str | None = None
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise UsageError([f"--pulling-nodes-file {str(file)!r}: {_reason(error)}"]) from None

    def limit(self, instance: str) -> int | None:
        """How many nodes of an instance may pull at once; None: no limit."""
        return self._limits.get(instance, self._limits.get(ALL, self._default))

    async def follow(self, changed: Callable[[], None], log: Callable[[str], None], every: float = LOOK_EVERY) -> None:
        """Read the file again from time to time, until cancelled.

        A file that is missing or invalid leaves the previous limits in use, and is logged once.

        Args:
            changed: called when limits have changed.
            log: logs a line.
            every: seconds between two looks.
        """
        while self._file is not None:
            await trio.sleep(every)
            before = self._limits
            try:
                self._read()
            except (OSError, ValueError) as error:
                if (problem := _reason(error)) != self._problem:
                    self._problem = problem
                    log(f"cannot use {str(self._file)!r}, keeping the previous limits: {problem}")
                continue
            self._problem = None
            if self._limits != before:
                log(f"nodes that may pull at the same time: {self}")
                changed()

    def _read(self) -> None:
        if self._file is not None:
            self._limits = parse_limits(read_plain_file(self._file, _LARGEST_FILE).decode())

    def __str__(self) -> str:
        limits = {ALL: "no limit" if self._default is None else self._default} | self._limits
        return ", ".join(f"{instance} {limit}" for instance, limit in sorted(limits.items()))


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
