"""Shows the table of a run on a terminal, drawn in another thread."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.text import Text

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Event, Outcome
from nodeprefetch.report.screen import NO_LIMIT, shown_on
from nodeprefetch.report.table import COLOURS, RunTable
from nodeprefetch.text.outlet import GRACE
from nodeprefetch.text.printable import printable

MOST_TEXTS = 1000
"""Texts waiting to be printed above the table; beyond that, the oldest are dropped."""


@contextmanager
def live_table(console: Console, *, grace: float = GRACE) -> Iterator[Reader]:
    """Return a reader that keeps a table on the console up to date. Its last state stays there.

    Args:
        console: nothing else may write to it meanwhile.
        grace: seconds for drawing the last state.
    """
    shared = _Shared()
    with shown_on(console, shared.draw, above=shared.texts, after=shared.failures, grace=grace):
        yield shared.take


class _Shared:
    """Shared by both threads: the state and the texts to print, under a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = RunTable()
        self._texts: deque[str] = deque()
        self._dropped = 0

    def take(self, event: Event) -> None:
        """Take an event. Called from the thread of the run; never waits for the terminal."""
        with self._lock:
            text = self._state.take(event)
            if text:
                self._texts.append(text)
            if len(self._texts) > MOST_TEXTS:
                self._texts.popleft()
                self._dropped += 1

    def draw(self, height: int, width: int) -> RenderableType:
        """Draw the table; at the end in full."""
        with self._lock:
            state = self._state.snapshot()
        return state.draw(height if state.ended is None else NO_LIMIT, width)

    def texts(self) -> list[Text]:
        """Return the texts that came since the last call."""
        with self._lock:
            texts, self._texts = self._texts, deque()
            dropped, self._dropped = self._dropped, 0
        lost = [f"{dropped} messages dropped: the terminal is too slow"] if dropped else []
        return [Text(text) for text in (*texts, *lost)]

    def failures(self) -> list[Text]:
        """Return the errors of the images that have failed."""
        return [
            Text(f"{printable(row.image)}: {printable(row.error)}", style=COLOURS[Outcome.FAILED])
            for row in self._state.failed()
        ]
