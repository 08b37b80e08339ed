"""Shows a run on a terminal: a live table while it goes on, a summary at its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nodeprefetch.duration import format_duration
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    ImageFinished,
    ImagesListed,
    Notice,
    Outcome,
    Reader,
    RetryPlanned,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
)

REFRESHES_PER_SECOND = 4
RESERVED_LINES = 6
"""Of the terminal, for what is not a row: title, header, totals, what was printed above."""

COLOURS = {
    Outcome.WAITING: "yellow",
    Outcome.PULLING: "cyan",
    Outcome.SUCCEEDED: "green",
    Outcome.PRESENT: "green",
    Outcome.FAILED: "red",
}
MOST_INTERESTING_FIRST = (
    Outcome.FAILED,
    Outcome.PULLING,
    Outcome.WAITING,
    Outcome.SUCCEEDED,
    Outcome.PRESENT,
)


@dataclass(slots=True)
class Row:
    """What is known of one image."""

    image: str
    outcome: Outcome = Outcome.WAITING
    attempt: int = 0
    since: float = 0
    """When this state began, on the clock of the table."""

    lasted: float | None = None
    """Seconds until it was final."""

    size: int = 0
    reason: str = ""
    """The last error in one word."""

    error: str = ""
    """The last error in full."""


class RunTable:
    """The state of a run, drawn when asked.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._title = ""
        self._began = clock()
        self.ended: RunFinished | None = None

    def take(self, event: Event) -> str | None:
        """Learn what happened. Returns what should be printed above the table, if anything."""
        now = self._clock()
        match event:
            case RunStarted():
                self._title = f"{event.runtime} at {event.socket}"
                self._rows = {image: Row(image, since=now) for image in event.images}
            case AttemptStarted():
                row = self._row(event.image)
                row.outcome, row.attempt, row.since = Outcome.PULLING, event.attempt, now
            case AttemptFinished():
                self._row(event.image).reason = event.reason
            case RetryPlanned():
                row = self._row(event.image)
                row.outcome, row.since = Outcome.WAITING, now
            case ImageFinished():
                row = self._row(event.image)
                row.outcome, row.attempt, row.lasted = event.outcome, event.attempts, event.elapsed
                row.size, row.reason, row.error = event.size, event.reason, event.error
            case RuntimeLost():
                return f"the runtime is gone, pulls wait for it: {event.error}"
            case RuntimeReturned():
                return f"the runtime answers again after {format_duration(round(event.after, 1))}"
            case ImagesListed():
                names = "".join(f"\n  {image}" for image in event.images)
                return f"{len(event.images)} names held {event.when} the pulls{names}{event.error}"
            case Notice():
                return event.message if event.is_warning else None
            case RunFinished():
                self.ended = event
            case _:
                pass
        return None

    def draw(self, height: int) -> RenderableType:
        """The table in as many lines; the least interesting rows give way."""
        rows = sorted(self._rows.values(), key=lambda row: MOST_INTERESTING_FIRST.index(row.outcome))
        shown = rows[: max(height - RESERVED_LINES, 1)]
        table = Table(title=self._title or None, title_justify="left", box=None, pad_edge=False)
        table.add_column("image", overflow="fold")
        table.add_column("state")
        table.add_column("attempt", justify="right")
        table.add_column("time", justify="right")
        table.add_column("size", justify="right")
        table.add_column("last error", no_wrap=True)
        for row in shown:
            seconds = self._clock() - row.since if row.lasted is None else row.lasted
            table.add_row(
                Text(row.image),
                Text(row.outcome, style=COLOURS[row.outcome]),
                str(row.attempt or ""),
                format_duration(round(seconds, 1)),
                format_size(row.size),
                Text(row.reason),
            )
        lines: list[RenderableType] = [table]
        if len(shown) < len(rows):
            lines.append(Text(f"… and {len(rows) - len(shown)} more"))
        lines.append(Text(self.totals()))
        return Group(*lines)

    def totals(self) -> str:
        """One line: how many images are how."""
        counts = dict.fromkeys(Outcome, 0)
        for row in self._rows.values():
            counts[row.outcome] += 1
        parts = [f"{count} {outcome}" for outcome, count in counts.items() if count]
        seconds = self.ended.elapsed if self.ended else self._clock() - self._began
        return f"{', '.join(parts) or 'no images yet'} ({format_duration(round(seconds, 1))})"

    def failed(self) -> list[Row]:
        """The images that have failed, in the list's order."""
        return [row for row in self._rows.values() if row.outcome is Outcome.FAILED]

    def _row(self, image: str) -> Row:
        return self._rows.setdefault(image, Row(image, since=self._clock()))


class _Screen:
    """The console's file as long as somebody is at its other end: a terminal that was closed does not end the run."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def live_table(console: Console) -> Iterator[Reader]:
    """A reader that keeps a table on the console up to date, and leaves its last state there."""
    state = RunTable()
    console.file = cast("IO[str]", _Screen(console.file))

    def draw() -> RenderableType:
        return state.draw(console.height if console.is_terminal and state.ended is None else 1_000_000)

    with Live(
        get_renderable=draw,
        console=console,
        refresh_per_second=REFRESHES_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as live:

        def tell(event: Event) -> None:
            above = state.take(event)
            if above:
                live.console.print(Text(above))

        yield tell
    for row in state.failed():
        console.print(Text(f"{row.image}: {row.error}", style=COLOURS[Outcome.FAILED]))


def format_size(size: int) -> str:
    """Bytes for people, in powers of 1024; empty when not known."""
    if not size:
        return ""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
