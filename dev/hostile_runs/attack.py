"""An attack and its result."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hostile_runs.watching import LARGEST_RSS, Watched, watching
from tests.support.aggregator_program import AggregatorProgram

LONGEST_HEALTH = 2.0
"""Seconds within which /healthz must respond at all times."""

START_UP = 20.0
"""Seconds."""

MEBIBYTE = 1 << 20


@dataclass(kw_only=True)
class Run:
    """A running attack: records what it did and which expectations failed."""

    directory: Path
    count: int = 0
    """Number of requests, streams or rounds."""

    failures: list[str] = field(default_factory=list)
    rss: int = 0
    """Peak memory of the attacked process in bytes."""

    health: float | None = None
    """Slowest response of /healthz in seconds; None if not requested."""

    def expect(self, holds: object, otherwise: str) -> None:
        """Record a failed expectation."""
        if not holds and otherwise not in self.failures:
            self.failures.append(otherwise)

    def saw(self, watched: Watched) -> None:
        """Add the results of a watch."""
        self.rss = max(self.rss, watched.rss)
        if watched.health is not None:
            self.health = max(self.health or 0.0, watched.health)
        self.expect(watched.rss <= LARGEST_RSS, f"RSS {watched.rss / MEBIBYTE:.0f} MiB")
        self.expect((watched.health or 0) <= LONGEST_HEALTH, f"/healthz took {watched.health or 0:.1f} s")
        for text in watched.refusals:
            self.expect(False, f"/healthz: {text}")

    @contextmanager
    def aggregator(self, *flags: str, keeps: bool = True, ca_file: Path | None = None) -> Iterator[AggregatorProgram]:
        """Run a real aggregator and watch it; it must survive without a traceback in its log."""
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        with ExitStack() as stack:
            program = stack.enter_context(AggregatorProgram(directory, *flags, keeps=keeps, ca_file=ca_file))
            watch = stack.enter_context(watching(program.pid, program.http_port, ca_file))
            yield program
            watched = watch.stop()
            self.saw(watched)
            self.expect(watched.is_alive, "the aggregator ended")
            self.expect("Traceback" not in program.log_text, "a traceback in the log")
            began = time.monotonic()
            program.stop()
            took = time.monotonic() - began
            self.expect(took < 9, f"SIGTERM took {took:.0f} s")


Attack = Callable[[Run], None]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A registered attack."""

    group: str
    name: str
    does: str
    attack: Attack


ATTACKS: dict[str, Known] = {}


def attack(group: str, does: str) -> Callable[[Attack], Attack]:
    """Register a function under its name with hyphens."""

    def noted(function: Attack) -> Attack:
        name = f"{group}/{function.__name__.replace('_', '-')}"
        ATTACKS[name] = Known(group=group, name=name, does=does, attack=function)
        return function

    return noted
