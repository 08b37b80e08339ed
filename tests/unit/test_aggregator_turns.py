"""Turns: one at a time, one address after the other."""

import trio

from nodeprefetch.aggregator.turns import Turns


async def run(turns, done, address, name, seconds=1):
    async with turns.turn(address):
        await trio.sleep(seconds)
        done.append(name)


async def test_addresses_take_turns_however_many_wait(autojump_clock):
    turns, done = Turns(), []
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(run, turns, done, "a", f"a{number}")
            await trio.sleep(0.1)
        nursery.start_soon(run, turns, done, "b", "b0")

    assert (4, ["a0", "a1", "b0", "a2"]) == (trio.current_time(), done)


async def test_who_stops_waiting_is_passed_over(autojump_clock):
    """The first one has its turn until 1, the second gives up at 0.5."""
    turns, done = Turns(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, turns, done, "a", "first")
        await trio.sleep(0.1)
        with trio.move_on_after(0.4):
            await run(turns, done, "b", "second")
        nursery.start_soon(run, turns, done, "a", "third")

    assert (2, ["first", "third"], {}, False) == (trio.current_time(), done, turns._waiting, turns._is_taken)


async def test_who_is_cancelled_in_the_moment_of_its_turn_passes_it_on(autojump_clock):
    turns, done = Turns(), []
    async with trio.open_nursery() as nursery:
        giving_up = trio.CancelScope()

        async def give_up():
            with giving_up:
                await run(turns, done, "b", "second")

        async with turns.turn("a"):
            nursery.start_soon(give_up)
            await trio.sleep(1)
            nursery.start_soon(run, turns, done, "c", "third")
            await trio.sleep(1)
        giving_up.cancel()

    assert ["third"] == done
