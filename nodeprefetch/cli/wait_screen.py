"""Draws on a terminal what `wait` sees: a progress bar, and what keeps nodes from being warm."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nodeprefetch.cli.wait_text import bytes_text, cause_text, elapsed_text, nodes_text
from nodeprefetch.cluster.goal import Goal, Pending
from nodeprefetch.cluster.picture import NodePicture, NodeState
from nodeprefetch.cluster.waiting import Look, Trouble, Watch
from nodeprefetch.report.screen import shown_on
from nodeprefetch.text.printable import printable

LONGEST_BAR = 60
LINES_OF_HEAD = 6
"""Lines for everything but causes and notes."""


@contextmanager
def wait_screen(console: Console, goal: Goal) -> Iterator[Watch]:
    """Return a watch that keeps the drawing up to date. It is erased at the end.

    Args:
        console: nothing else may write to it meanwhile.
        goal: what is waited for.
    """
    drawing = WaitDrawing(goal)
    with shown_on(console, drawing.draw, erased=True):
        yield drawing.take


class WaitDrawing:
    """What was seen last. May be used from two threads.

    Args:
        goal: what is waited for.
        clock: seconds, monotonic.
    """

    def __init__(self, goal: Goal, clock: Callable[[], float] = time.monotonic) -> None:
        self._goal = goal
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._look: Look | None = None
        self._seen_at = self._began
        self._trouble = ""

    def take(self, seen: Look | Trouble) -> None:
        """Take what was seen."""
        with self._lock:
            if isinstance(seen, Trouble):
                self._trouble = seen.text
            else:
                self._look, self._seen_at, self._trouble = seen, self._clock(), ""

    def draw(self, height: int, width: int) -> RenderableType:
        """Draw it in that many lines."""
        with self._lock:
            look, seen_at, trouble = self._look, self._seen_at, self._trouble
        now = self._clock()
        lines: list[RenderableType] = []
        if look is None:
            lines.append(Text(f"looking at the cluster ({elapsed_text(now - self._began)})"))
        else:
            lines += self._lines(look, now - self._began, height - LINES_OF_HEAD, width)
        if trouble:
            since = f", last seen {elapsed_text(now - seen_at)} ago" if look else ""
            lines.append(_line(f"{trouble} (trying again{since})", "yellow"))
        return Group(*lines)

    def _lines(self, look: Look, elapsed: float, room: int, width: int) -> list[RenderableType]:
        picture = look.picture
        notes = (*picture.notes, *(look.verdict.notes if isinstance(look.verdict, Pending) else ()))
        details = [_line(cause_text(cause), "red" if cause.is_final else "yellow") for cause in picture.causes]
        details += [_line(f"note: {note}", "") for note in dict.fromkeys(notes)]
        return [
            _line(f"{picture.name} in {picture.namespace}, {elapsed_text(elapsed)}, from {picture.source}", "bold"),
            _bar(share(look), width),
            _line(nodes_text(look, self._goal), ""),
            *([_line(moved, "")] if (moved := bytes_text(picture)) else []),
            *details[: max(room, 0)],
            *([_line(f"and {len(details) - max(room, 0)} more", "")] if len(details) > room else []),
        ]


def share(look: Look) -> float:
    """How far it is, from 0 to 1: the mean of the nodes that are needed, the most advanced ones."""
    counts = look.verdict.counts
    if not counts.needed:
        return 1
    shares = sorted((_share_of(node) for node in counts.lacking), reverse=True)
    needed = max(counts.needed - counts.warm, 0)
    return min((min(counts.warm, counts.needed) + sum(shares[:needed])) / counts.needed, 1)


def _share_of(node: NodePicture) -> float:
    """Of a node that is not warm: less than 1."""
    if node.state in {NodeState.FAILED, NodeState.UNSEEN}:
        return 0
    if node.total_bytes:
        return min(node.done_bytes / node.total_bytes, 0.99)
    return min(node.present / node.images, 0.99) if node.images else 0


def _bar(share: float, width: int) -> RenderableType:
    percent = f" {int(share * 100)}%"
    grid = Table.grid()
    grid.add_row(ProgressBar(total=1, completed=share, width=max(min(width, LONGEST_BAR) - len(percent), 1)), percent)
    return grid


def _line(text: str, style: str) -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")
