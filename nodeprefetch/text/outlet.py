"""Writes lines to a stream from a thread of its own: a stream that nobody reads holds nothing up."""

import os
import select
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TextIO

BOUND = 4 << 20
"""Bytes that wait to be written; then the least important lines are dropped."""

GRACE = 2.0
"""Seconds at the end for what is still to be written."""

_PORTION = 1 << 16
"""Bytes of one write, as many as a pipe holds."""


class Importance(IntEnum):
    """What is dropped first where a stream is not read: the lowest, and of these the oldest."""

    PROGRESS = 0
    STEP = 1
    RESULT = 2


class Outlet:
    """Lines on their way to a stream. `put` never waits and never raises, and may be called from any thread.

    A stream that fails is not written to again.

    Args:
        stream: where to. It is written to by its descriptor, past its buffer, where it has one.
        lost: the line that says how many lines were dropped; written once the stream has taken the others.
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
        """Have a line written. The end of the line is added."""
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._is_over:
                return
            self._lines[self._next] = line
            self._by_importance[importance].append(self._next)
            self._next += 1
            self._size += len(line)
            while self._size > self._bound and len(self._lines) > 1:  # one line alone is taken, however long it is
                self._drop_one()
            self._changed.notify_all()

    def close(self, grace: float = GRACE) -> None:
        """Wait until all is written, but no longer than that many seconds."""
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
        except (OSError, ValueError):  # nobody reads it any more, or it is closed
            pass
        finally:
            with self._changed:
                self._is_over = True
                self._lines.clear()
                self._changed.notify_all()

    def _take(self) -> bytes:
        """What to write next; empty at the end."""
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
    """An outlet that is closed at the block's end, within its grace.

    Args:
        stream: where to.
        lost: the line that says how many lines were dropped.
    """
    outlet = Outlet(stream, lost or (lambda count: f"nodeprefetch: {lines_dropped(count)}"))
    try:
        yield outlet
    finally:
        outlet.close()


def lines_dropped(count: int) -> str:
    """What to say of lines that nobody took."""
    return f"{count} log lines dropped: the log was not read fast enough"


def write(stream: TextIO, text: str | bytes) -> None:
    """Write all of it, past the stream's buffer, so that nothing of it is left to be written when this is interrupted.

    Waits for whoever reads.

    Raises:
        OSError: it cannot be written; nobody reads it any more (`BrokenPipeError`).
        ValueError: the stream is closed.
    """
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    try:
        number = stream.fileno()
    except OSError:  # one in memory
        stream.write(data.decode("utf-8", "backslashreplace"))
        stream.flush()
        return
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:  # whoever shares the stream has set it so
            select.select([], [number], [])
