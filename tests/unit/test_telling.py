"""Readers are told one after another, and none of them harms another."""

from nodeprefetch.emitter import Emitter
from nodeprefetch.events import Notice

EVENT = Notice(message="hello")


class Sulky:
    """Raises at the first events."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.told = 0

    def __call__(self, _event: object) -> None:
        if self.left:
            self.left -= 1
            raise RuntimeError("s3cret")
        self.told += 1


def test_a_reader_that_raises_keeps_nothing_from_the_others_and_is_named_once():
    told: list[Notice] = []
    emit = Emitter(Sulky(99), told.append)

    emit(EVENT)
    emit(EVENT)

    complaint, first, second = told
    assert (EVENT, EVENT) == (first, second)
    assert "Sulky failed at Notice, the run continues: RuntimeError in test_telling.py, line" in complaint.message
    assert "s3cret" not in complaint.message


def test_a_reader_that_raised_hears_what_comes_after():
    reader = Sulky(2)  # at the event, and at what is said of that
    emit = Emitter(reader)

    emit(EVENT)
    emit(EVENT)

    assert 1 == reader.told
