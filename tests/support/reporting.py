"""Runs a reporter the way a run does: beside the work, and with a last word behind it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import trio

from nodeprefetch.events import Event
from nodeprefetch.report.readers import Reporter
from tests.support.patience import PATIENCE


@asynccontextmanager
async def reporting(reporter: Reporter, *events: Event) -> AsyncGenerator[None]:
    """The reporter delivers in the background inside the block, and has finished behind it.

    Args:
        reporter: any.
        events: told at the beginning.

    Raises:
        TooSlowError: it did not finish within five minutes.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.run)
        for event in events:
            reporter.emit(event)
        yield
        with trio.fail_after(PATIENCE):
            await reporter.finish()
        nursery.cancel_scope.cancel()


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is true that cannot be waited for.

    Raises:
        TooSlowError: it did not become true within five minutes.
    """
    with trio.fail_after(PATIENCE):
        while not is_so():  # noqa: ASYNC110 (what is waited for may be in another process)
            await trio.sleep(0.01)
