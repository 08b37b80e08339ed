"""Shows the table of a run on a terminal, from its own thread, so that a blocked terminal delays nothing."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Event, Outcome
from nodeprefetch.report.table import COLOURS, RunTable
from nodeprefetch.text.outlet import GRACE, write
from nodeprefetch.text.printable import printable

REFRESH_INTERVAL = 0.25
"""Seconds."""

MOST_TEXTS = 1000
"""Texts waiting to be printed above the table; beyond that, the oldest are dropped."""


@contextmanager
def live_table(console: Console, *, grace: float = GRACE) -> Iterator[Reader]:
    """Return a reader that keeps a table on the console up to date. Its last state stays there.

    Args:
        console: nothing else may write to it meanwhile.
        grace: seconds for drawing the last state.
    """
    shown = _Shown(console)
    shown.thread.start()
    try:
        yield shown.take
    finally:
        shown.end(grace)


class _Shown:
    """Shared by both threads: the state and the texts to print, under a lock."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._console.file = cast("IO[str]", _Screen(console.file))
        self._lock = threading.Lock()
        self._state = RunTable()
        self._texts: deque[str] = deque()
        self._dropped = 0
        self._ending = threading.Event()
        self.thread = threading.Thread(target=self._show, name="table", daemon=True)

    def take(self, event: Event) -> None:
        """Take an event. Called from the thread of the run; never waits for the terminal."""
        with self._lock:
            text = self._state.take(event)
            if text:
                self._texts.append(text)
            if len(self._texts) > MOST_TEXTS:
                self._texts.popleft()
                self._dropped += 1

    def end(self, grace: float) -> None:
        """Wait until the last state is drawn, at most `grace` seconds."""
        self._ending.set()
        self.thread.join(grace)

    def _show(self) -> None:
        with Live(
            get_renderable=self._draw,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            while not self._ending.wait(REFRESH_INTERVAL):
                self._print_texts()
                live.refresh()
            self._print_texts()
        for row in self._state.failed():
            text = f"{printable(row.image)}: {printable(row.error)}"
            self._console.print(Text(text, style=COLOURS[Outcome.FAILED]))

    def _draw(self) -> RenderableType:
        with self._lock:
            state = self._state.snapshot()
        height = self._console.height if self._console.is_terminal and state.ended is None else 1_000_000
        return state.draw(height, self._console.width)

    def _print_texts(self) -> None:
        with self._lock:
            texts, self._texts = self._texts, deque()
            dropped, self._dropped = self._dropped, 0
        for text in texts:
            self._console.print(Text(text))
        if dropped:
            self._console.print(Text(f"{dropped} messages dropped: the terminal is too slow"))


class _Screen:
    """The file of the console, written without a buffer, until its other end is closed."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._is_there = True

    def write(self, text: str) -> int:
        try:
            if self._is_there:
                write(cast("Any", self._file), text)
        except (OSError, ValueError):  # closing the terminal does not end the run
            self._is_there = False
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
