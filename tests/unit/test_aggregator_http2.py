"""What of an answer waits for a client's window."""

import trio
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER
from hypercorn.trio.worker_context import EventWrapper

from nodeprefetch.aggregator.server.http2 import StreamBuffer

PART = bytes(BUFFER_HIGH_WATER // 2)


async def fill(buffer, pushed):
    for number in range(100):
        await buffer.push(PART)
        pushed.append(number)


async def test_a_window_of_0_stops_an_answer(autojump_clock):
    """Hypercorn's own buffer takes all 100 parts; here the second one waits."""
    buffer, pushed = StreamBuffer(EventWrapper), []
    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill, buffer, pushed)
            while True:
                assert b"" == await buffer.pop(0)
                await trio.sleep(0.01)

    assert ([0], BUFFER_HIGH_WATER) == (pushed, len(buffer.buffer))


async def test_what_the_window_lets_through_makes_room(autojump_clock):
    buffer, pushed, taken = StreamBuffer(EventWrapper), [], 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill, buffer, pushed)
        while taken < 100 * len(PART):
            taken += len(await buffer.pop(1000))
            assert len(buffer.buffer) <= BUFFER_HIGH_WATER + len(PART)
            await trio.sleep(0.01)

    assert (100, 100 * len(PART)) == (len(pushed), taken)
