"""FairLock: one at a time, one address after the other."""

import trio
import trio.testing

from nodeprefetch.aggregator.fair_lock import FairLock


async def run(lock, done, address, name, seconds=1):
    async with lock.hold(address):
        await trio.sleep(seconds)
        done.append(name)


async def test_addresses_take_turns_however_many_wait(autojump_clock):
    lock, done = FairLock(), []
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(run, lock, done, "a", f"a{number}")
            await trio.sleep(0.1)
        nursery.start_soon(run, lock, done, "b", "b0")

    assert (4, ["a0", "a1", "b0", "a2"]) == (trio.current_time(), done)


async def test_who_stops_waiting_is_passed_over(autojump_clock):
    """The first one has its turn until 1, the second gives up at 0.5."""
    lock, done = FairLock(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, lock, done, "a", "first")
        await trio.sleep(0.1)
        with trio.move_on_after(0.4):
            await run(lock, done, "b", "second")
        nursery.start_soon(run, lock, done, "a", "third")

    assert (2, ["first", "third"], {}, False) == (trio.current_time(), done, lock._waiting, lock._is_held)


async def test_who_is_cancelled_in_the_moment_of_its_turn_passes_it_on(autojump_clock):
    lock, done = FairLock(), []
    async with trio.open_nursery() as nursery:
        giving_up = trio.CancelScope()

        async def give_up():
            with giving_up:
                await run(lock, done, "b", "second")

        async with lock.hold("a"):
            nursery.start_soon(give_up)
            await trio.sleep(1)
            nursery.start_soon(run, lock, done, "c", "third")
            await trio.sleep(1)
        giving_up.cancel()

    assert ["third"] == done


async def test_others_go_on_between_turns_that_wait_for_nothing(autojump_clock):
    """One round of all tasks for each of a hundred lock."""
    lock, rounds = FairLock(), 0

    async def take_one():
        async with lock.hold("a"):
            assert rounds not in taken
            taken.append(rounds)

    taken = []
    async with trio.open_nursery() as counting:

        async def count():
            nonlocal rounds
            while True:
                await trio.lowlevel.checkpoint()
                rounds += 1

        counting.start_soon(count)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(take_one)
        counting.cancel_scope.cancel()

    assert 100 == len(taken)
