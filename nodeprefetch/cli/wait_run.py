"""Runs `wait`: shows what it sees, stops it on a signal, and says how it ended."""

import sys
import time
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager

import trio

from nodeprefetch.cli.output import can_redraw
from nodeprefetch.cli.stop_signals import SIGNAL_BASE, stop_signals
from nodeprefetch.cli.wait_lines import WaitLines
from nodeprefetch.cli.wait_text import ending
from nodeprefetch.cluster.goal import Goal
from nodeprefetch.cluster.waiting import End, Look, OpenLook, Trouble, Watch, wait_for
from nodeprefetch.text.outlet import open_outlet

EXIT_CODES = {End.REACHED: 0, End.IMPOSSIBLE: 1, End.GONE: 1, End.TIMEOUT: 4}


def run_wait(open_look: OpenLook, goal: Goal, limit: float, *, name: str) -> int:
    """Wait, and return the exit code.

    Args:
        open_look: opens what looks at the installation.
        goal: what is waited for.
        limit: seconds; 0: look once.
        name: of the installation.

    Raises:
        ExceptionGroup: what `wait_for` raises.
    """
    began = time.monotonic()
    seen = _Seen()
    with _watch(goal) as show:
        end, signal = trio.run(_wait, open_look, goal, limit, seen.through(show))
    with open_outlet(sys.stdout) as outlet:
        outlet.put(ending(end, seen.look, seen.trouble, name=name, goal=goal, elapsed=time.monotonic() - began))
    return SIGNAL_BASE + signal if end is None else EXIT_CODES[end]


async def _wait(open_look: OpenLook, goal: Goal, limit: float, watch: Watch) -> tuple[End | None, int]:
    """Return how it ended, or None and the signal that interrupted it."""
    end: End | None = None
    received = 0

    async def stop_at_first(signals: AsyncIterable[int], scope: trio.CancelScope) -> None:
        nonlocal received
        async for number in signals:
            received = number
            scope.cancel()
            return

    with stop_signals() as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_at_first, signals, nursery.cancel_scope)
            end = await wait_for(open_look, goal, limit=limit, watch=watch)
            nursery.cancel_scope.cancel()
    return end, received


class _Seen:
    """The last that was seen."""

    def __init__(self) -> None:
        self.look: Look | None = None
        self.trouble = ""
        """Since then."""

    def through(self, watch: Watch) -> Watch:
        """Remember what is passed on."""

        def take(seen: Look | Trouble) -> None:
            if isinstance(seen, Look):
                self.look, self.trouble = seen, ""
            else:
                self.trouble = seen.text
            watch(seen)

        return take


@contextmanager
def _watch(goal: Goal) -> Iterator[Watch]:
    """A progress bar on a terminal, otherwise lines."""
    if can_redraw(sys.stdout):
        from rich.console import Console  # noqa: PLC0415

        from nodeprefetch.cli.wait_screen import wait_screen  # noqa: PLC0415

        with wait_screen(Console(), goal) as watch:
            yield watch
        return
    lines = WaitLines(goal)
    with open_outlet(sys.stdout) as outlet:

        def write(seen: Look | Trouble) -> None:
            for line in lines.take(seen):
                outlet.put(line)

        yield write
