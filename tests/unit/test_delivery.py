"""Reporters around a run, on virtual time."""

import pytest
import trio

from nodeprefetch.events import Notice
from nodeprefetch.report.delivery import reporting
from nodeprefetch.report.reporter import IsolatedReporter


class Slow:
    """Takes its time to finish."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.ran = self.finished = False
        self.cut = False

    def tell(self, _event):
        pass

    async def run(self):
        self.ran = True
        try:
            await trio.sleep_forever()
        finally:
            self.stopped_at = trio.current_time()

    async def finish(self):
        try:
            await trio.sleep(self.seconds)
        except trio.Cancelled:
            self.cut = True
            raise
        self.finished = True


async def test_they_run_meanwhile_and_finish_side_by_side_afterwards(autojump_clock):
    """The block takes 10 s, then 3 and 4 s to finish at the same time."""
    one, two = Slow(3), Slow(4)

    async with reporting([one, two], grace=15):
        await trio.sleep(10)

    assert (True, True, True, True) == (one.ran, two.ran, one.finished, two.finished)
    assert 14 == trio.current_time()
    assert 14 == one.stopped_at


async def test_the_grace_cuts_those_that_do_not_finish(autojump_clock):
    one, two = Slow(3), Slow(100)

    async with reporting([one, two], grace=15):
        pass

    assert (True, False, True) == (one.finished, two.finished, two.cut)
    assert 15 == trio.current_time()


async def test_they_finish_when_the_block_is_cancelled(autojump_clock):
    one = Slow(3)

    with trio.move_on_after(5):
        async with reporting([one], grace=15):
            await trio.sleep_forever()

    assert one.finished
    assert 8 == trio.current_time()


async def test_they_finish_when_the_block_fails(autojump_clock):
    one = Slow(3)

    with pytest.raises(ExceptionGroup) as caught:
        async with reporting([one], grace=15):
            raise ValueError

    assert one.finished
    assert caught.group_contains(ValueError)


async def test_without_reporters_nothing_is_waited_for(autojump_clock):
    async with reporting([], grace=15):
        pass

    assert 0 == trio.current_time()


class Faulty:
    """Raises at one of its methods."""

    def __init__(self, where):
        self.where = where
        self.told = []

    def tell(self, event):
        self.told.append(event)
        self._raise("tell")

    async def run(self):
        self._raise("run")
        await trio.sleep_forever()

    async def finish(self):
        self._raise("finish")

    def _raise(self, where):
        if where == self.where:
            raise KeyError("hunter2")


@pytest.mark.parametrize("where", ["tell", "run", "finish"])
async def test_a_reporter_that_raises_is_named_once_and_harms_nothing(autojump_clock, where):
    complaints = []
    reporter = IsolatedReporter(Faulty(where), complaints.append)

    async with reporting([reporter], grace=5):
        await trio.sleep(1)
        reporter.tell(Notice(message="one"))
        reporter.tell(Notice(message="two"))

    assert ["Faulty failed and is disabled for this run: KeyError"] == complaints
