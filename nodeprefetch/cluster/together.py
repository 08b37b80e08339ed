"""Makes several calls at the same time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

Answer = TypeVar("Answer")


async def together(calls: Iterable[Callable[[], Awaitable[Answer]]]) -> list[Answer]:
    """Make these calls at the same time, and return what they return, in order.

    Raises:
        BaseExceptionGroup: with what they raise.
    """
    answers: dict[int, Answer] = {}

    async def call(index: int, make: Callable[[], Awaitable[Answer]]) -> None:
        answers[index] = await make()

    async with trio.open_nursery() as nursery:
        for index, make in enumerate(calls):
            nursery.start_soon(call, index, make)
    return [answers[index] for index in sorted(answers)]
