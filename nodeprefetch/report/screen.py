"""Draws something on a terminal again and again, from its own thread, so that a blocked terminal delays nothing."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console, RenderableType
from rich.live import Live

from nodeprefetch.text.outlet import GRACE, write

REFRESH_INTERVAL = 0.25
"""Seconds."""

NO_LIMIT = 1_000_000
"""Height of what is no terminal."""

Draw = Callable[[int, int], RenderableType]
"""Draws into that many lines and columns. Called from another thread."""


@contextmanager
def shown_on(
    console: Console,
    draw: Draw,
    *,
    above: Callable[[], Iterable[RenderableType]] = tuple,
    after: Callable[[], Iterable[RenderableType]] = tuple,
    erased: bool = False,
    grace: float = GRACE,
) -> Iterator[None]:
    """Keep a drawing on the console up to date within the block. Its last state stays there.

    Args:
        console: nothing else may write to it meanwhile.
        draw: draws the present state.
        above: returns what is new to print above the drawing. Called from another thread, as is `after`.
        after: returns what to print below it at the end.
        erased: the drawing is erased at the end.
        grace: seconds for drawing the last state.
    """
    console.file = cast("IO[str]", _Screen(console.file))
    ending = threading.Event()

    def show() -> None:
        def drawn() -> RenderableType:
            return draw(console.height if console.is_terminal else NO_LIMIT, console.width)

        with Live(
            get_renderable=drawn,
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=erased,
        ) as live:
            while not ending.wait(REFRESH_INTERVAL):
                print_all(above())
                live.refresh()
            print_all(above())
        print_all(after())

    def print_all(texts: Iterable[RenderableType]) -> None:
        for text in texts:
            console.print(text)

    thread = threading.Thread(target=show, name="screen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(grace)


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
