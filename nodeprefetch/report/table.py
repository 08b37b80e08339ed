"""The state of a run as a table, updated by events."""

import time
from collections.abc import Callable

import msgspec
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    ImageFinished,
    ImagesListed,
    Notice,
    Outcome,
    Progress,
    PullsPaused,
    PullsResumed,
    RegistryThrottled,
    RetryPlanned,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
    StartAllowed,
    StartDelayed,
    TagMoved,
)
from nodeprefetch.text.printable import printable
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.sizes import format_rate, format_share, format_size

RESERVED_LINES = 6
"""Lines of the terminal for everything but rows: title, header, totals, texts above the table."""

BAR_WIDTH = 10
WIDE = 120
"""Width of a terminal that has room for all columns."""

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


_START = "start"
"""What holds pulls back that have not started yet."""


class Row(msgspec.Struct):
    """The state of one image."""

    image: str
    outcome: Outcome = Outcome.WAITING
    attempt: int = 0
    since: float = 0
    """Start of this state, on the clock of the table."""

    lasted: float | None = None
    """Seconds until the state was final."""

    size: int = 0
    reason: str = ""
    """Reason of the last error."""

    error: str = ""
    """Text of the last error."""

    progress: Progress | None = None
    """Progress of the current pull, where the runtime reports it."""

    paused: frozenset[str] = frozenset()
    """Why the current pull is paused."""

    @property
    def state(self) -> str:
        """What the table shows."""
        if self.paused:
            return "paused"
        return self.progress.phase if self.progress else self.outcome


class RunTable:
    """The state of a run.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._title = ""
        self._held: dict[str, str] = {}
        """Why pulls are held back: reason and detail."""

        self._began = clock()
        self.ended: RunFinished | None = None

    def take(self, event: Event) -> str | None:
        """Take an event. Returns a text to print above the table, or None."""
        now = self._clock()
        match event:
            case RunStarted():
                self._title = f"{event.runtime} at {event.socket}"
                self._rows = {image: Row(image, since=now) for image in event.images}
            case StartDelayed() | StartAllowed():
                self._held[_START] = _delay_text(event)
            case AttemptStarted():
                row = self._row(event.image)
                row.outcome, row.attempt, row.since = Outcome.PULLING, event.attempt, now
            case Progress():
                self._row(event.image).progress = event
            case AttemptFinished():
                row = self._row(event.image)
                row.reason, row.progress, row.paused = event.reason, None, frozenset()
            case TagMoved():
                return f"{printable(event.image)}: tag moved from {_short(event.before)} to {_short(event.after)}"
            case RetryPlanned():
                row = self._row(event.image)
                row.outcome, row.since = Outcome.WAITING, now
            case ImageFinished():
                row = self._row(event.image)
                row.outcome, row.attempt, row.lasted = event.outcome, event.attempts, event.elapsed
                row.size, row.reason, row.error = event.size, event.reason, event.error
            case RuntimeLost() | RuntimeReturned() | RegistryThrottled():
                return _outage_text(event)
            case PullsPaused() | PullsResumed():
                self._hold(event)
            case ImagesListed():
                names = "".join(f"\n  {printable(image)}" for image in event.images)
                return f"{len(event.images)} image names present {event.when} the pulls{names}{printable(event.error)}"
            case Notice():
                return printable(event.message) if event.is_warning else None
            case RunFinished():
                self.ended = event
            case _:
                pass
        return None

    def _hold(self, event: PullsPaused | PullsResumed) -> None:
        reason, is_paused = frozenset({event.reason}), isinstance(event, PullsPaused)
        for image in event.images:
            row = self._row(image)
            row.paused = row.paused | reason if is_paused else row.paused - reason
        if isinstance(event, PullsPaused):
            self._held[event.reason] = event.detail or event.reason
        elif not event.ongoing:
            self._held.pop(event.reason, None)

    def snapshot(self) -> "RunTable":
        """Return a copy that later events do not change."""
        copy = RunTable(self._clock)
        copy._rows = {image: msgspec.structs.replace(row) for image, row in self._rows.items()}
        copy._held = {**self._held}
        copy._title, copy._began, copy.ended = self._title, self._began, self.ended
        return copy

    def draw(self, height: int, width: int = WIDE) -> RenderableType:
        """Draw the table in that many lines. Omits the least interesting rows, and columns on a narrow terminal."""
        rows = sorted(self._rows.values(), key=lambda row: MOST_INTERESTING_FIRST.index(row.outcome))
        shown = rows[: max(height - RESERVED_LINES, 1)]
        title = Text(printable(self._title)) if self._title else None
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("image", overflow="fold")
        table.add_column("state", no_wrap=True)
        if not any(row.progress for row in shown):
            cells = self._plain_cells
            _add_columns(table, "attempt", "time", "size")
        elif width >= WIDE:
            cells = self._wide_cells
            _add_columns(table, "attempt", "time", "size", "progress", "rate", "left")
        else:
            cells = self._narrow_cells
            _add_columns(table, "size", "progress")
        table.add_column("last error", no_wrap=True)
        for row in shown:
            table.add_row(Text(printable(row.image)), Text(row.state, style=COLOURS[row.outcome]), *cells(row))
        lines: list[RenderableType] = [table]
        if len(shown) < len(rows):
            lines.append(Text(f"… and {len(rows) - len(shown)} more"))
        lines.append(Text(self.totals()))
        return Group(*lines)

    def _plain_cells(self, row: Row) -> list[RenderableType]:
        return [*self._attempt_cells(row), format_size(row.size), Text(printable(row.reason))]

    def _wide_cells(self, row: Row) -> list[RenderableType]:
        how_far: list[RenderableType] = [format_size(row.size), "", "", ""]
        if row.progress is not None:
            done, total = row.progress.done_bytes, row.progress.total_bytes
            share = format_share(done, total) if done or total else ""
            how_far = [share, _bar(row.progress, BAR_WIDTH), format_rate(row.progress.rate), _time_left(row.progress)]
        return [*self._attempt_cells(row), *how_far, Text(printable(row.reason))]

    def _narrow_cells(self, row: Row) -> list[RenderableType]:
        """Return cells without attempt and time; rate and time left replace the last error."""
        if row.progress is None:
            return [format_size(row.size), "", Text(printable(row.reason))]
        parts = [format_rate(row.progress.rate), _time_left(row.progress)]
        text = ", ".join(part for part in parts if part) + (" left" if parts[1] else "")
        size = format_size(row.progress.total_bytes or row.progress.done_bytes)
        return [size, _bar(row.progress, BAR_WIDTH), Text(printable(text or row.reason))]

    def _attempt_cells(self, row: Row) -> list[RenderableType]:
        seconds = self._clock() - row.since if row.lasted is None else row.lasted
        return [str(row.attempt or ""), format_duration(round(seconds, 1))]

    def totals(self) -> str:
        """Return one line with the number of images by state, and why pulls are held back."""
        counts = dict.fromkeys(Outcome, 0)
        for row in self._rows.values():
            counts[row.outcome] += 1
        parts = [f"{count} {outcome}" for outcome, count in counts.items() if count]
        seconds = self.ended.elapsed if self.ended else self._clock() - self._began
        reasons = printable(", ".join(filter(None, self._held.values())))
        held = f"; held back: {reasons}" if reasons and not self.ended else ""
        return f"{', '.join(parts) or 'no images yet'} ({format_duration(round(seconds, 1))}){held}"

    def failed(self) -> list[Row]:
        """Return the images that have failed, in the order of the list."""
        return [row for row in self._rows.values() if row.outcome is Outcome.FAILED]

    def _row(self, image: str) -> Row:
        return self._rows.setdefault(image, Row(image, since=self._clock()))


def _short(digest: str) -> str:
    """Return the first digits, as container runtimes' own tools show them."""
    return printable(digest)[: len("sha256:") + 12]


def _delay_text(event: StartDelayed | StartAllowed) -> str:
    if isinstance(event, StartAllowed):
        return ""
    start = format_duration(round(event.starts_in))
    if event.error:
        return f"no answer about a ticket ({event.error}), start without one in {start}"
    if event.starts_in:
        return f"start in {start}, this node's place in the spread"
    return f"waiting for a ticket, {event.ahead} nodes ahead, {event.pulling} of {event.limit} pulling"


def _outage_text(event: RuntimeLost | RuntimeReturned | RegistryThrottled) -> str:
    match event:
        case RuntimeLost():
            return f"container runtime unavailable, pulls paused: {printable(event.error)}"
        case RuntimeReturned():
            return f"container runtime available again after {format_duration(round(event.after, 1))}"
        case RegistryThrottled():
            seconds = format_duration(round(event.seconds, 1))
            return f"{printable(event.registry)} throttles, its pulls wait {seconds}: {printable(event.error)}"


def _add_columns(table: Table, *names: str) -> None:
    for name in names:
        if name == "progress":
            table.add_column(name, width=BAR_WIDTH)
        else:
            table.add_column(name, justify="right", no_wrap=True)


def _bar(progress: Progress, width: int) -> RenderableType:
    if not progress.total_bytes:
        return ""
    return ProgressBar(total=progress.total_bytes, completed=progress.done_bytes, width=width)


def _time_left(progress: Progress) -> str:
    missing = progress.total_bytes - progress.done_bytes
    return format_duration(missing // progress.rate) if progress.rate and missing > 0 else ""
