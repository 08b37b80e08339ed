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
    """`trio.run` of what SIGINT cancels; a second SIGINT ends the process where it stands.

    Trio's own way, a KeyboardInterrupt at any line that runs, is lost where that line's errors are.

    Raises:
        KeyboardInterrupt: SIGINT came.
        ExceptionGroup: what `main` raised.
    """

    async def run() -> T:
        with stop_signals(signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_the_first, signals, nursery.cancel_scope)
                found = await main(*args)
                nursery.cancel_scope.cancel()
                return found
        raise KeyboardInterrupt

    return trio.run(run)


async def _cancel_at_the_first(signals: AsyncIterable[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


@contextmanager
def stop_signals(*numbers: signal.Signals) -> Iterator[AsyncIterable[int]]:
    """The first signal ends the run in order: it is a value to wait for. The next ends the process where it stands.

    The second is met in the signal handler itself: Trio does not come to it where a write to standard error blocks.

    Args:
        numbers: of these alone, in place of `STOP_SIGNALS`.
    """
    numbers = numbers or STOP_SIGNALS
    with trio.open_signal_receiver(*numbers) as signals:
        to_trio = signal.getsignal(numbers[0])
        assert callable(to_trio)  # noqa: S101 - the one of the receiver
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            if received:
                os._exit(SIGNAL_BASE + number)
            received.append(number)
            to_trio(number, frame)

        for each in numbers:
            signal.signal(each, handle)
        yield signals
