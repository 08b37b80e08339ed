"""Reporters around a run, on virtual time."""

import pytest
import trio

from nodeprefetch.report.readers import reporting


class Slow:
    """Takes its time to finish."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.ran = self.finished = False
        self.cut = False
        self.flushes_in = 0

    def emit(self, _event):
        pass

    async def run(self):
        self.ran = True
        try:
            await trio.sleep_forever()
        finally:
            self.stopped_at = trio.current_time()

    async def flush(self):
        await trio.sleep(self.flushes_in)

    async def finish(self):
        self.finishes_at = trio.current_time()
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


class Broken(Slow):
    """Raises what nobody expects, as a foreign client may."""

    async def run(self):
        raise ZeroDivisionError

    async def finish(self):
        async with trio.open_nursery():
            raise LookupError


async def test_one_that_raises_harms_neither_the_block_nor_others_and_is_named(autojump_clock):
    one = Slow(3)
    said = []

    async with reporting([Broken(0), one], grace=15, warn=said.append):
        await trio.sleep(10)

    assert one.finished
    assert 13 == trio.current_time()
    assert ["Broken", "Broken"] == [text.split()[0] for text in said]
    assert ["ZeroDivisionError in test_delivery.py", "LookupError in test_delivery.py"] == [
        text.split(": ")[1].split(",")[0] for text in said
    ]


async def test_speakers_finish_first_and_what_runs_goes_on_meanwhile(autojump_clock):
    """The speaker takes 4 s, the other one then 3 s, and it runs until the end."""
    speaker, one = Slow(4), Slow(3)

    async with reporting([one], grace=15, speakers=[speaker]):
        pass

    assert (True, True) == (speaker.finished, one.finished)
    assert 7 == trio.current_time()
    assert 7 == one.stopped_at


async def test_a_speaker_that_takes_all_the_time_leaves_a_second_for_others(autojump_clock):
    """Of 15 s the speaker has 14, and the other one needs half a second."""
    speaker, one = Slow(100), Slow(0.5)

    async with reporting([one], grace=15, speakers=[speaker]):
        pass

    assert (True, True) == (speaker.cut, one.finished)
    assert 14.5 == trio.current_time()


async def test_a_speaker_alone_has_the_whole_grace(autojump_clock):
    speaker = Slow(14.5)

    async with reporting([], grace=15, speakers=[speaker]):
        pass

    assert speaker.finished


async def test_speakers_finish_one_after_another(autojump_clock):
    """Results arrive in 0.4 s, then the speakers need 0.5, 0.1 and 0.2 s."""
    one, speakers = Slow(0.3), [Slow(0.5), Slow(0.1), Slow(0.2)]
    one.flushes_in = 0.4

    async with reporting([one], grace=15, speakers=speakers):
        pass

    assert [0.4, 0.9, 1.0, 1.2] == pytest.approx([each.finishes_at for each in (*speakers, one)])


async def test_none_holds_another_up_for_more_than_its_head_start(autojump_clock):
    """Results do not arrive, the first speaker hangs; the others need no time."""
    one, speakers = Slow(0), [Slow(100), Slow(0), Slow(0)]
    one.flushes_in = 100

    async with reporting([one], grace=15, speakers=speakers):
        pass

    assert [1, 2, 2, 14] == [each.finishes_at for each in (*speakers, one)]
    assert (True, True, True) == (speakers[0].cut, speakers[1].finished, speakers[2].finished)


async def test_the_head_start_is_a_tenth_of_a_short_grace(autojump_clock):
    speakers = [Slow(100), Slow(0)]

    async with reporting([], grace=2, speakers=speakers):
        pass

    assert [0, 0.2] == [each.finishes_at for each in speakers]


async def test_reporters_that_did_not_deliver_in_time_are_known(autojump_clock):
    quick, slow, broken = Slow(1), Slow(100), Broken(0)

    async with reporting([quick, slow, broken], grace=15) as progress:
        pass

    assert {slow} == progress.undelivered


async def test_a_speaker_that_raises_does_not_hold_the_next_up(autojump_clock):
    speaker = Slow(0)

    async with reporting([], grace=15, speakers=[Broken(0), speaker]):
        pass

    assert 0 == speaker.finishes_at
