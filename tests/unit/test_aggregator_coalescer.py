"""Coalescing: requests that come together share one answer."""

import trio
import trio.testing

from nodeprefetch.aggregator.fair_lock import FairLock
from nodeprefetch.aggregator.web.coalescer import Coalescer


class Requests:
    """Requests for content that takes a second to make, and records when its making began."""

    def __init__(self):
        self.lock = FairLock()
        self._coalescer = Coalescer(self.lock)
        self.begun = []
        self.given = []

    async def make(self):
        self.begun.append(trio.current_time())
        await trio.sleep(1)
        return f"begun at {self.begun[-1]:g}".encode()

    async def ask(self, key="x", address="a"):
        self.given.append((await self._coalescer.get(key, self.make, address), trio.current_time()))


async def test_requests_together_share_one_answer(autojump_clock):
    """Content begun before a request is not for it; the next begins a tenth of a second later."""
    requests = Requests()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(requests.ask)
        await trio.sleep(0.5)
        for _ in range(50):
            nursery.start_soon(requests.ask)
        await trio.sleep(0.55)
        for _ in range(50):
            nursery.start_soon(requests.ask)

    assert ([0, 1.1], [(b"begun at 0", 1), *[(b"begun at 1.1", 2.1)] * 100]) == (requests.begun, requests.given)


async def test_two_keys_have_two_answers(autojump_clock):
    requests = Requests()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(requests.ask, "x")
        nursery.start_soon(requests.ask, "y")

    assert 2 == len(requests.begun)


async def test_when_the_maker_is_cancelled_another_request_makes_the_content(autojump_clock):
    """A tenth of a second later."""
    requests = Requests()

    async def give_up():
        with trio.move_on_after(0.5):
            await requests.ask()

    async with trio.open_nursery() as nursery, requests.lock.hold("a"):
        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(requests.ask)
        await trio.testing.wait_all_tasks_blocked()

    assert [(b"begun at 0.6", 1.6)] == requests.given
