"""Whether a node is ready: what runs have found, in order."""

import pytest

from nodeprefetch.keep.readiness import Readiness
from nodeprefetch.keep.schedule import ALLOWED, BLIND, BROKEN, DONE, FAILED, STALE, STILL_CLOSED, STOPPED


def after(*verdicts: str) -> bool:
    readiness = Readiness()
    for verdict in verdicts:
        readiness.judge(verdict)
    return readiness.is_ready


@pytest.mark.parametrize("verdict", [DONE, STALE, ALLOWED])
def test_a_run_after_which_nothing_is_missing_makes_it_ready(verdict: str) -> None:
    assert after(verdict)
    assert after(FAILED, verdict)


@pytest.mark.parametrize("verdicts", [(), (FAILED,), (BLIND,), (STOPPED,), (BROKEN,), (DONE, FAILED)])
def test_it_is_not_ready_before_and_when_an_image_is_missing(verdicts: tuple[str, ...]) -> None:
    assert not after(*verdicts)


def test_one_run_that_could_not_look_changes_nothing_and_a_second_one_does() -> None:
    assert after(DONE, BLIND)
    assert not after(DONE, BLIND, BLIND)
    assert after(DONE, BLIND, DONE, BLIND)
    assert not after(FAILED, BLIND)


@pytest.mark.parametrize("verdict", [STOPPED, BROKEN, STILL_CLOSED])
def test_a_run_that_says_nothing_about_images_changes_nothing(verdict: str) -> None:
    assert after(DONE, verdict)
    assert not after(FAILED, verdict)


def test_what_was_there_says_nothing_about_a_new_list() -> None:
    readiness = Readiness()
    readiness.judge(DONE)

    readiness.forget()
    readiness.judge(BLIND)

    assert not readiness.is_ready
