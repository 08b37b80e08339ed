"""Runs reporters around a run: in the background while it goes on, and once more, for a time, when it is over."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from nodeprefetch.errors import leaves
from nodeprefetch.report.reporter import Reporter
from nodeprefetch.telling import where_raised

LAST_WORD = 1.0
"""Seconds of the grace, a third of it at most, in which what speakers said at last is delivered."""


@asynccontextmanager
async def reporting(
    reporters: Sequence[Reporter],
    *,
    grace: float,
    speakers: Sequence[Reporter] = (),
    complain: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Let reporters work while the block runs, and finish when it is left, however it is left.

    Neither the overall timeout nor a signal nor an error of the block cancels that: only its own grace does. One that
    raises harms neither the block nor the others.

    Args:
        reporters: what works.
        grace: seconds for finishing, all together.
        speakers: what works too, and has something to say at its end. They finish first, while the others go on
            delivering, and so early that the others can deliver that too.
        complain: told of a reporter that raised.
    """

    async def isolated(reporter: Reporter, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a reporter, pulls go on
            complain(f"{type(reporter).__name__} failed, the run continues: {where_raised(next(leaves(error)))}")

    async def finish(group: Sequence[Reporter]) -> None:
        async with trio.open_nursery() as ends:
            for reporter in group:
                ends.start_soon(isolated, reporter, reporter.finish)

    async with trio.open_nursery() as background:
        for reporter in (*speakers, *reporters):
            background.start_soon(isolated, reporter, reporter.run)
        try:
            yield
        finally:
            if reporters or speakers:
                end = trio.current_time() + grace
                with trio.CancelScope(shield=True, deadline=end):
                    with trio.move_on_at(end - min(LAST_WORD, grace / 3) if reporters else end):
                        await finish(speakers)
                    await finish(reporters)
            background.cancel_scope.cancel()
