"""Writes lines to a stream from a separate thread, so that a stream that nobody reads does not block the program."""

import os
import select
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TextIO

BOUND = 4 << 20
"""Bytes that may wait to be written. Beyond that, the least important lines are dropped."""

GRACE = 2.0
"""Seconds at the end to write the remaining lines."""

_PORTION = 1 << 16
"""Bytes per write: the capacity of a pipe."""


class Importance(IntEnum):
    """Importance of a line. The lowest are dropped first, and of these the oldest."""

    PROGRESS = 0
    STEP = 1
    RESULT = 2


class Outlet:
    """Queue of lines for a stream. `put` never blocks, never raises, and may be called from any thread.

    After an error, nothing more is written to the stream.

    Args:
        stream: the stream. Written to by its file descriptor if it has one, bypassing its buffer.
        lost: makes the line that says how many lines were dropped. Written after all other lines.
        bound: bytes that may wait.
    """

    def __init__(self, stream: TextIO, lost: Callable[[int], str], *, bound: int = BOUND) -> None:
        self._stream = stream
        self._lost = lost
        self._bound = bound
        self._lines: OrderedDict[int, bytes] = OrderedDict()
        self._by_importance: tuple[deque[int], ...] = tuple(deque() for _ in Importance)
        self._next = 0
        self._size = 0
        self._dropped = 0
        self._is_closing = False
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="outlet", daemon=True)
        self._thread.start()

    def put(self, text: str, importance: Importance = Importance.RESULT) -> None:
        """Queue a line, without its line break."""
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._is_over:
                return
            self._lines[self._next] = line
            self._by_importance[importance].append(self._next)
            self._next += 1
            self._size += len(line)
            while self._size > self._bound and len(self._lines) > 1:  # a single line is accepted at any length
                self._drop_one()
            self._changed.notify_all()

    def close(self, grace: float = GRACE) -> None:
        """Wait until all lines are written, at most `grace` seconds."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_over, grace)
            self._is_over = True
            self._lines.clear()

    def _drop_one(self) -> None:
        queue = next(queue for queue in self._by_importance if queue)
        self._size -= len(self._lines.pop(queue.popleft()))
        self._dropped += 1

    def _write(self) -> None:
        try:
            while portion := self._take():
                write(self._stream, portion)
        except (OSError, ValueError):  # the reader has exited, or the stream is closed
            pass
        finally:
            with self._changed:
                self._is_over = True
                self._lines.clear()
                self._changed.notify_all()

    def _take(self) -> bytes:
        """Wait for the next bytes to write; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._dropped or self._is_closing or self._is_over)
            portion = bytearray()
            while self._lines and len(portion) < _PORTION:
                number, line = self._lines.popitem(last=False)
                for queue in self._by_importance:
                    if queue and queue[0] == number:
                        queue.popleft()
                portion += line
            self._size -= len(portion)
            if not portion and self._dropped and not self._is_over:
                portion += self._lost(self._dropped).encode("utf-8", "backslashreplace") + b"\n"
                self._dropped = 0
            self._changed.notify_all()
            return bytes(portion)


@contextmanager
def open_outlet(stream: TextIO, lost: Callable[[int], str] | None = None) -> Iterator[Outlet]:
    """Open an outlet, and close it at the end of the block.

    Args:
        stream: the stream to write to.
        lost: makes the line that says how many lines were dropped.
    """
    outlet = Outlet(stream, lost or (lambda count: f"nodeprefetch: {lines_dropped(count)}"))
    try:
        yield outlet
    finally:
        outlet.close()


def lines_dropped(count: int) -> str:
    """The message about dropped lines."""
    return f"{count} log lines dropped: the log was not read fast enough"


def write(stream: TextIO, text: str | bytes) -> None:
    """Write all of a text, bypassing the stream's buffer: an interrupt leaves nothing in it. Blocks until it is read.

    Raises:
        OSError: the text cannot be written. `BrokenPipeError`: the reader has exited.
        ValueError: the stream is closed.
    """
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    try:
        number = stream.fileno()
    except OSError:  # an in-memory stream
        stream.write(data.decode("utf-8", "backslashreplace"))
        stream.flush()
        return
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:  # another process sharing the stream made it non-blocking
            select.select([], [number], [])
