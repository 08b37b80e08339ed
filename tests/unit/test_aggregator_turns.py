"""Turns: one at a time, one address after the other."""

import trio
import trio.testing

from nodeprefetch.aggregator.turns import SharedTexts, Turns


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


async def test_others_go_on_between_turns_that_wait_for_nothing(autojump_clock):
    """One round of all tasks for each of a hundred turns."""
    turns, rounds = Turns(), 0

    async def take_one():
        async with turns.turn("a"):
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


class Texts:
    """Texts that take a second each and say when they were begun."""

    def __init__(self):
        self.turns = Turns()
        self._shared = SharedTexts(self.turns)
        self.begun = []
        self.given = []

    async def make(self):
        self.begun.append(trio.current_time())
        await trio.sleep(1)
        return f"begun at {self.begun[-1]:g}".encode()

    async def ask(self, name="x", address="a"):
        self.given.append((await self._shared.made(name, self.make, address), trio.current_time()))


async def test_who_asks_together_is_given_one_text(autojump_clock):
    """What was begun before somebody asked is not for them; the next is begun a tenth of a second later."""
    texts = Texts()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(texts.ask)
        await trio.sleep(0.5)
        for _ in range(50):
            nursery.start_soon(texts.ask)
        await trio.sleep(0.55)
        for _ in range(50):
            nursery.start_soon(texts.ask)

    assert ([0, 1.1], [(b"begun at 0", 1), *[(b"begun at 1.1", 2.1)] * 100]) == (texts.begun, texts.given)


async def test_texts_of_two_names_are_two(autojump_clock):
    texts = Texts()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(texts.ask, "x")
        nursery.start_soon(texts.ask, "y")

    assert 2 == len(texts.begun)


async def test_a_text_whose_maker_gives_up_is_made_by_who_waited_with_it(autojump_clock):
    """A tenth of a second later."""
    texts = Texts()

    async def give_up():
        with trio.move_on_after(0.5):
            await texts.ask()

    async with trio.open_nursery() as nursery, texts.turns.turn("a"):
        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(texts.ask)
        await trio.testing.wait_all_tasks_blocked()

    assert [(b"begun at 0.6", 1.6)] == texts.given
