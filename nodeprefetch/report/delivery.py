"""Runs reporters around a run: in the background while it goes on, and once more, for a time, when it is over."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from nodeprefetch.report.reporter import Reporter


@asynccontextmanager
async def reporting(reporters: Sequence[Reporter], *, grace: float) -> AsyncIterator[None]:
    """Let reporters work while the block runs, and finish when it is left, however it is left.

    Neither the overall timeout nor a signal nor an error of the block cuts that: only its own grace does.

    Args:
        reporters: what works.
        grace: seconds for finishing, all together.
    """
    async with trio.open_nursery() as background:
        for reporter in reporters:
            background.start_soon(reporter.run)
        try:
            yield
        finally:
            if reporters:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + grace):
                    async with trio.open_nursery() as ends:
                        for reporter in reporters:
                            ends.start_soon(reporter.finish)
            background.cancel_scope.cancel()
