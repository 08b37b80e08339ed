"""What the processes of `keep` tell each other.

`nodeprefetch keep FLAGS` checks what it is given, and replaces itself by the supervisor, with a `Plan` as arguments.
For each run the supervisor starts the same command again, with an `Order` in the environment.
"""

from __future__ import annotations

import os

from nodeprefetch.keep.lists import Snapshot

TYPE_CHECKING = False  # typing is large
if TYPE_CHECKING:
    from collections.abc import Sequence

SUPERVISE = "supervise"
"""First argument of the supervisor."""

ORDER_VARIABLE = "NODEPREFETCH_KEEP_RUN"
BROKEN_LIST = 65
"""Exit code of a run that refuses its lists. EX_DATAERR of sysexits.h; no other command uses it."""

STALE_TAGS = 66
"""Exit code of a run after which all images are present, but whose tags may have moved."""

STILL_CLOSED = 67
"""Exit code of a run that could not remove startup taints of the node or set its condition, whether images are missing
or not."""

ALLOWED_FAILURES = 68
"""Exit code of a run after which images are missing, which `--allow-failures` allows."""

SOME_IMAGE_MISSING = 1
"""Exit code of any other run after which images are missing."""

UNREPORTED, STALE_UNREPORTED = 69, 70
"""The same as 0 and `STALE_TAGS`, but the node does not show it: the API server did not answer, or refused."""

UNDELIVERED = 71
"""The same as 0, but the aggregator has not heard everything in time. After any other code another whole run follows
soon anyway."""


class Plan:
    """What the supervisor is to do.

    Args:
        check_every: seconds.
        refresh_every: seconds; infinite: never.
        report_every: seconds; infinite: never.
        place: of this node in all periods, from 0 up to 1.
        gate_at: when the node takes pods even if images are missing, seconds of CLOCK_MONOTONIC; infinite: never, or it
            does already.
        log_format: `logfmt` or `json`.
        port: descriptor of a bound socket, to listen on while the node is ready; -1: none.
        paths: of the lists; empty for one that cannot change.
        snapshot: contents of the lists.
        command: starts `keep` with the flags that the user gave.
    """

    __slots__ = (
        "check_every",
        "command",
        "gate_at",
        "log_format",
        "paths",
        "place",
        "port",
        "refresh_every",
        "report_every",
        "snapshot",
    )

    def __init__(
        self,
        *,
        check_every: float,
        refresh_every: float,
        report_every: float,
        place: float,
        gate_at: float,
        log_format: str,
        port: int,
        paths: Sequence[str],
        snapshot: Snapshot,
        command: Sequence[str],
    ) -> None:
        self.check_every = check_every
        self.refresh_every = refresh_every
        self.report_every = report_every
        self.place = place
        self.gate_at = gate_at
        self.log_format = log_format
        self.port = port
        self.paths = tuple(paths)
        self.snapshot = snapshot
        self.command = tuple(command)

    def to_arguments(self) -> list[str]:
        """Arguments after `SUPERVISE`."""
        numbers = map(str, (self.check_every, self.refresh_every, self.report_every, self.place, self.gate_at))
        return [*numbers, self.log_format, str(self.port), str(self.snapshot), *self.paths, *self.command]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Plan:
        """The inverse of `to_arguments`.

        Raises:
            ValueError: they are not a plan.
        """
        check_every, refresh_every, report_every, place, gate_at, log_format, port, text, *rest = arguments
        snapshot = Snapshot.parse(text)
        lists = len(snapshot.sizes)
        return cls(
            check_every=float(check_every),
            refresh_every=float(refresh_every),
            report_every=float(report_every),
            place=float(place),
            gate_at=float(gate_at),
            log_format=log_format,
            port=int(port),
            paths=rest[:lists],
            snapshot=snapshot,
            command=rest[lists:],
        )


class Expected:
    """What checks look for. A run that has found or brought everything writes it for the checks that follow.

    Args:
        socket: of the container runtime; empty: search.
        timeout: seconds for listing the images.
        names: of the images, as the runtime normalizes them.
        pinned: those of them that are pinned, and must stay so.
    """

    __slots__ = ("names", "pinned", "socket", "timeout")

    def __init__(self, *, socket: str, timeout: float, names: Sequence[str], pinned: Sequence[str]) -> None:
        self.socket = socket
        self.timeout = timeout
        self.names = tuple(names)
        self.pinned = tuple(pinned)

    def write(self, descriptor: int) -> None:
        """Replace the content of a file. A run that is killed meanwhile has not ended well, so nobody reads it then."""
        _replace(descriptor, [self.socket, str(self.timeout), str(len(self.names)), *self.names, *self.pinned])

    @classmethod
    def read(cls, descriptor: int) -> Expected | None:
        """Read it; None: nobody has written any."""
        if not (words := _words_in(descriptor)):
            return None
        socket, timeout, count, *names = words
        images = int(count)
        return cls(socket=socket, timeout=float(timeout), names=names[:images], pinned=names[images:])


class Rejection:
    """Why the newest lists are not in force. Whoever finds that out writes it, for the runs with the last good ones.

    Args:
        since: Unix seconds.
        problems: lines without secrets, at least one.
    """

    __slots__ = ("problems", "since")

    def __init__(self, *, since: float, problems: Sequence[str]) -> None:
        self.since = since
        self.problems = tuple(problems)

    def write(self, descriptor: int) -> None:
        """Replace the content of a file."""
        _replace(descriptor, [str(self.since), *self.problems])

    @classmethod
    def read(cls, descriptor: int) -> Rejection | None:
        """Read it; None: the newest lists are in force."""
        if not (words := _words_in(descriptor)):
            return None
        since, *problems = words
        return cls(since=float(since), problems=problems)


def _replace(descriptor: int, words: Sequence[str]) -> None:
    content = "\0".join(words).encode(errors="surrogateescape")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _words_in(descriptor: int) -> list[str]:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="surrogateescape").split("\0") if size else []


class Order:
    """What a run is to do.

    Args:
        kind: `CHECK` or `REFRESH`.
        is_settled: the last run of these lists has reported that all images are present. If they still are, there is
            nothing to say, and the node keeps its label until one cannot be pulled again.
        is_report: it is to say everything nevertheless, so that whoever has lost or missed something knows it again.
        expected: descriptor of the file with `Expected`.
        rejected: descriptor of the file with `Rejection`.
        snapshot: contents of the lists, to use in place of the files.
    """

    __slots__ = ("expected", "is_report", "is_settled", "kind", "rejected", "snapshot")

    def __init__(
        self, *, kind: str, is_settled: bool, is_report: bool, expected: int, rejected: int, snapshot: Snapshot
    ) -> None:
        self.kind = kind
        self.is_settled = is_settled
        self.is_report = is_report
        self.expected = expected
        self.rejected = rejected
        self.snapshot = snapshot

    def __str__(self) -> str:
        settled, report = "settled" if self.is_settled else "unsettled", "report" if self.is_report else "news"
        return f"{self.kind} {settled} {report} {self.expected} {self.rejected} {self.snapshot}"

    @classmethod
    def parse(cls, text: str) -> Order:
        """The inverse of `str`.

        Raises:
            ValueError: it is not an order.
        """
        kind, settled, report, expected, rejected, snapshot = text.split(" ")
        return cls(
            kind=kind,
            is_settled=settled == "settled",
            is_report=report == "report",
            expected=int(expected),
            rejected=int(rejected),
            snapshot=Snapshot.parse(snapshot),
        )
