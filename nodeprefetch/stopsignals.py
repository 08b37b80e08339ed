"""SIGTERM and SIGINT: the first ends what runs in order, the second ends the process where it stands."""

import os
import signal
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import trio

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNAL_BASE = 128


def run_interruptibly(main: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`trio.run` of what SIGINT ends by KeyboardInterrupt: it has something to close, and no end of its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return trio.run(main, *args)


@contextmanager
def stop_signals() -> Iterator[AsyncIterable[int]]:
    """The first signal ends the run in order: it is a value to wait for. The next ends the process where it stands.

    The second is met in the signal handler itself: Trio does not come to it where a write to standard error blocks.
    """
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        to_trio = signal.getsignal(STOP_SIGNALS[0])
        assert callable(to_trio)  # noqa: S101 - the one of the receiver
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            if received:
                os._exit(SIGNAL_BASE + number)
            received.append(number)
            to_trio(number, frame)

        for each in STOP_SIGNALS:
            signal.signal(each, handle)
        yield signals
