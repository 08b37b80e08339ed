"""SIGTERM and SIGINT: the first signal cancels the run, the second exits at once."""

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
    """Run `main` with `trio.run`. SIGINT cancels it; a second SIGINT exits at once.

    By itself, Trio raises KeyboardInterrupt at an arbitrary line, and code that ignores errors there would ignore it.

    Raises:
        KeyboardInterrupt: on SIGINT.
        ExceptionGroup: what `main` raised.
    """

    async def run() -> T:
        with stop_signals(signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_first, signals, nursery.cancel_scope)
                result = await main(*args)
                nursery.cancel_scope.cancel()
                return result
        raise KeyboardInterrupt

    return trio.run(run)


async def _cancel_at_first(signals: AsyncIterable[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


@contextmanager
def stop_signals(*numbers: signal.Signals) -> Iterator[AsyncIterable[int]]:
    """Yield the signals received. The first one is for the caller to act on; the second one exits at once.

    The signal handler itself exits: Trio cannot handle the second signal while a write to standard error blocks.

    Args:
        numbers: signals to receive. Default: `STOP_SIGNALS`.
    """
    numbers = numbers or STOP_SIGNALS
    with trio.open_signal_receiver(*numbers) as signals:
        to_trio = signal.getsignal(numbers[0])
        assert callable(to_trio)  # noqa: S101 - the receiver's handler
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            if received:
                os._exit(SIGNAL_BASE + number)
            received.append(number)
            to_trio(number, frame)

        for each in numbers:
            signal.signal(each, handle)
        yield signals
