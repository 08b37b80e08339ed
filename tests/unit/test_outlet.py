"""An outlet writes lines to a stream that nobody may be reading."""

import io
import os
import threading
from collections.abc import Iterator

import pytest

from nodeprefetch.text.outlet import Importance, Outlet, open_outlet, write
from tests.support.patience import PATIENCE

PROGRESS, STEP, RESULT = Importance
FILLING = "x" * (1 << 20)
"""More than a pipe holds."""


class Pipe:
    """A pipe whose other end is read when asked."""

    def __init__(self) -> None:
        self.end, number = os.pipe()
        self.stream = os.fdopen(number, "w")

    def read_line(self) -> str:
        return self.reader.readline().decode().rstrip("\n")

    def read(self) -> list[str]:
        """All that is still in it, once it was closed."""
        return self.reader.read().decode().splitlines()

    def open(self) -> None:
        self.reader = os.fdopen(self.end, "rb")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    pipe.open()
    yield pipe
    if not pipe.stream.closed:
        pipe.stream.close()
    pipe.reader.close()


def stuck(pipe: Pipe, bound: int = 100) -> Outlet:
    """An outlet that is in the middle of a line nobody reads."""
    outlet = Outlet(pipe.stream, "lost {}".format, bound=bound)
    outlet.put(FILLING)
    with outlet._changed:
        assert outlet._changed.wait_for(lambda: not outlet._lines, PATIENCE)
    return outlet


def end(outlet: Outlet, pipe: Pipe) -> list[str]:
    """What comes after the first line, when all of it is read at last."""
    reading: list[str] = []

    def read() -> None:
        reading.extend(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    outlet.close(PATIENCE)
    pipe.stream.close()
    reader.join(PATIENCE)
    return reading[1:]


def test_lines_come_in_their_order_whatever_they_are_worth(pipe):
    with open_outlet(pipe.stream) as outlet:
        for number, worth in enumerate([RESULT, PROGRESS, STEP, RESULT]):
            outlet.put(str(number), worth)
    pipe.stream.close()

    assert ["0", "1", "2", "3"] == pipe.read()


def test_progress_is_dropped_first_and_results_last_and_that_is_said(pipe):
    """The bound of 100 has room for ten lines of 10 bytes."""
    outlet = stuck(pipe)
    for number in range(5):
        outlet.put(f"progress{number}", PROGRESS)
        outlet.put(f"step....{number}", STEP)
    for number in range(8):
        outlet.put(f"result..{number}", RESULT)

    assert ["step....3", "step....4", *(f"result..{number}" for number in range(8)), "lost 8"] == end(outlet, pipe)


def test_of_results_alone_the_oldest_are_dropped(pipe):
    outlet = stuck(pipe)
    for number in range(13):
        outlet.put(f"result.{number:02}", RESULT)

    assert [*(f"result.{number:02}" for number in range(3, 13)), "lost 3"] == end(outlet, pipe)


def test_one_line_longer_than_the_bound_is_written(pipe):
    with open_outlet(io.StringIO()) as outlet:
        outlet.put(FILLING)
        stream = outlet._stream

    assert FILLING + "\n" == stream.getvalue()


def test_closing_waits_for_a_reader_no_longer_than_its_grace(pipe):
    outlet = stuck(pipe)

    outlet.close(0.01)
    outlet.put("too late")

    assert [] == end(outlet, pipe)


def test_a_stream_nobody_reads_any_more_is_left_alone(pipe):
    with open_outlet(pipe.stream) as outlet:
        pipe.reader.close()
        outlet.put("one")
        outlet.put("two")
    assert outlet._is_over


def test_a_pipe_that_was_made_not_to_block_is_waited_for(pipe):
    os.set_blocking(pipe.stream.fileno(), False)
    writer = threading.Thread(target=write, args=(pipe.stream, FILLING + "\n"))
    writer.start()

    assert FILLING == pipe.read_line()
    writer.join(PATIENCE)
