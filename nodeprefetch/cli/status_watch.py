"""`status --watch`: draws what is known on a terminal; elsewhere prints it again when something changes."""

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import msgspec
import trio
from rich.console import Console, Group, RenderableType
from rich.text import Text

from nodeprefetch.cli.cluster_access import open_cluster
from nodeprefetch.cli.cluster_flags import ClusterFlags
from nodeprefetch.cli.output import can_redraw, warn
from nodeprefetch.cli.stop_signals import run_interruptibly
from nodeprefetch.cluster.look_all import ObserverOfAll
from nodeprefetch.cluster.looking import Failed, look_at, rest
from nodeprefetch.cluster.picture import Picture
from nodeprefetch.report.screen import shown_on
from nodeprefetch.text.outlet import write
from nodeprefetch.text.printable import json_text, printable
from nodeprefetch.values.duration import format_age

Render = Callable[[Sequence[Picture], float], str]
"""Formats pictures at a time (Unix seconds)."""


class Viewer(Protocol):
    """Shows what is seen."""

    def show(self, pictures: Sequence[Picture]) -> None:
        """Show what is known now."""

    def trouble(self, text: str) -> None:
        """Say why nothing could be seen this time."""


def watch_status(flags: ClusterFlags, name: str | None, render: Render, *, as_json: bool) -> None:
    """Look and show until interrupted.

    Args:
        flags: which cluster.
        name: of the installations; None: all.
        render: formats what is seen.
        as_json: print one JSON array a line instead.

    Raises:
        KeyboardInterrupt: on SIGINT.
        ExceptionGroup: with what `follow` raises.
    """

    async def main(viewer: Viewer) -> None:
        async with open_cluster(flags) as access:
            await follow(ObserverOfAll(access, flags.namespace, name).look, viewer)

    with _viewer(render, as_json=as_json) as viewer:
        run_interruptibly(main, viewer)


async def follow(look: Callable[[], Awaitable[list[Picture]]], viewer: Viewer) -> None:
    """Look until cancelled.

    Raises:
        UsageError, NoAccessError, KubeError: at the first look, if looking again makes no sense.
    """
    has_seen = False
    while True:
        began = trio.current_time()
        seen = await look_at(look)
        if not isinstance(seen, Failed):
            has_seen = True
            viewer.show(seen)
        elif has_seen or seen.is_passing:
            viewer.trouble(seen.text)
        else:
            raise seen.error
        await rest(began)


class Printer:
    """Prints when something changes. Times, bytes and rates are no changes: they change all the time.

    Args:
        put: writes what is known. May block, and raises `BrokenPipeError` when nobody reads any more.
        say: writes why nothing could be seen.
        render: formats what is seen.
        clock: Unix seconds.
    """

    def __init__(
        self,
        put: Callable[[str], None],
        say: Callable[[str], None],
        render: Render,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._say = say
        self._render = render
        self._clock = clock
        self._last: object = None
        self._trouble = ""

    def show(self, pictures: Sequence[Picture]) -> None:
        """Print what is known, if it has changed."""
        steady = [_steady(picture) for picture in pictures]
        if steady != self._last or self._trouble:
            self._put(f"{self._render(pictures, self._clock())}\n")
        self._last, self._trouble = steady, ""

    def trouble(self, text: str) -> None:
        """Print why nothing could be seen, if that is new."""
        if text != self._trouble:
            self._say(f"{text} (trying again)")
        self._trouble = text


class Drawing:
    """What was seen last. May be used from two threads.

    Args:
        render: formats what is seen.
        clock: Unix seconds.
    """

    def __init__(self, render: Render, clock: Callable[[], float] = time.time) -> None:
        self._render = render
        self._clock = clock
        self._lock = threading.Lock()
        self._pictures: Sequence[Picture] | None = None
        self._seen_at = 0.0
        self._trouble = ""

    def show(self, pictures: Sequence[Picture]) -> None:
        """Take what is known."""
        with self._lock:
            self._pictures, self._seen_at, self._trouble = pictures, self._clock(), ""

    def trouble(self, text: str) -> None:
        """Take why nothing could be seen."""
        with self._lock:
            self._trouble = text

    def draw(self, height: int, width: int) -> RenderableType:  # noqa: ARG002 - lines are cut by rich
        """Draw it in that many lines; what does not fit is left out at the end."""
        with self._lock:
            pictures, seen_at, trouble = self._pictures, self._seen_at, self._trouble
        now = self._clock()
        state = "looking at the cluster" if pictures is None else f"seen {format_age(now - seen_at)} ago"
        head = f"{state}: {printable(trouble)} (trying again)" if trouble else state
        lines = [head, *("" if pictures is None else self._render(pictures, now)).split("\n")]
        if len(lines) > height:
            lines = [*lines[: height - 1], f"and {len(lines) - height + 1} more lines"]
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


@contextmanager
def _viewer(render: Render, *, as_json: bool) -> Iterator[Viewer]:
    put = partial(write, sys.stdout)
    if as_json:
        yield Printer(put, warn, _json_line)
    elif can_redraw(sys.stdout):
        drawing = Drawing(render)
        with shown_on(Console(), drawing.draw):
            yield drawing
    else:
        yield Printer(put, warn, lambda pictures, now: f"{render(pictures, now)}\n")


def _json_line(pictures: Sequence[Picture], now: float) -> str:  # noqa: ARG001 - no ages
    return json_text(msgspec.to_builtins(pictures))


def _steady(picture: Picture) -> Picture:
    """The picture without what changes all the time."""
    nodes = tuple(
        msgspec.structs.replace(node, heard=None, done_bytes=0, total_bytes=0, rate=0) for node in picture.nodes
    )
    return msgspec.structs.replace(picture, nodes=nodes, heard=None, seconds_left=None)
