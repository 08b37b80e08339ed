"""When a node may take pods: decided without a clock."""

import math

import pytest

from nodeprefetch.events import (
    AttemptStarted,
    Event,
    GateOpened,
    ImageFinished,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)
from nodeprefetch.report.gate import LOOK_AROUND, Gate, GateState
from nodeprefetch.settings import PullPolicy

TIMEOUT = 900.0
NAMES = ("a:1", "b:1", "c:1")


class Run:
    """A run with a gate. Each step says when it happens, and returns what the gate says, without its time."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def take(self, event: Event, age: float) -> tuple[bool, tuple[str, ...]] | None:
        return shown(self.gate.take(event, age), age)

    def start(self, age: float, *images: str) -> tuple[bool, tuple[str, ...]] | None:
        about = {"run_id": "r", "node": "n1", "version": "1", "runtime": "c", "socket": "/s"}
        return self.take(RunStarted(images=images or NAMES, **about), age)

    def attempt(self, age: float, image: str, *, is_present: bool = False) -> tuple[bool, tuple[str, ...]] | None:
        return self.take(AttemptStarted(attempt_id="x", image=image, attempt=1, limit=30, is_present=is_present), age)

    def image(self, age: float, image: str, outcome: Outcome, reason: str = "") -> tuple[bool, tuple[str, ...]] | None:
        about = {"policy": PullPolicy.ALWAYS, "attempts": 1, "elapsed": 1}
        return self.take(ImageFinished(image=image, outcome=outcome, reason=reason, **about), age)

    def present(self, age: float, *images: str) -> tuple[bool, tuple[str, ...]] | None:
        said = [self.image(age, image, Outcome.PRESENT) for image in images or NAMES]
        assert said[:-1] == [None] * len(said[:-1])
        return said[-1]

    def end(self, age: float, end: RunEnd = RunEnd.FINISHED) -> tuple[bool, tuple[str, ...]] | None:
        return self.take(RunFinished(run_id="r", end=end, succeeded=0, present=0, failed=0, elapsed=1), age)

    def due(self, age: float) -> tuple[bool, tuple[str, ...]] | None:
        return shown(self.gate.due(age), age)


def shown(opened: GateOpened | None, age: float) -> tuple[bool, tuple[str, ...]] | None:
    assert opened is None or (opened.after, len(opened.missing)) == (age, min(opened.missing_count, 20))
    return None if opened is None else (opened.gave_up, opened.missing)


def gate(age: float = 0, *, timeout: float = TIMEOUT, **more: object) -> Run:
    return Run(Gate(age=age, timeout=timeout, **more))


PRESENT = (False, ())


def gave_up(*missing: str) -> tuple[bool, tuple[str, ...]]:
    return True, missing


def test_it_opens_at_the_end_of_the_run_that_has_all_images() -> None:
    run = gate()

    assert [None] * 3 == [run.start(0), run.present(1, "a:1", "b:1"), run.image(50, "c:1", Outcome.SUCCEEDED)]
    assert math.inf == run.gate.wake_at
    assert PRESENT == run.end(51)
    assert GateState.OPEN is run.gate.state


def test_it_stays_closed_after_a_run_in_which_an_image_failed() -> None:
    run = gate()
    run.start(0)
    run.present(1, "a:1", "b:1")
    run.image(50, "c:1", Outcome.FAILED)

    assert None is run.end(51)
    assert (GateState.CLOSED, False) == (run.gate.state, run.gate.is_satisfied)


def test_it_gives_up_in_mid_run_when_the_time_is_over_and_not_a_moment_before() -> None:
    run = gate()
    run.start(0)
    run.present(1, "b:1")

    assert TIMEOUT == run.gate.wake_at
    assert None is run.due(TIMEOUT - 0.001)
    assert gave_up("a:1", "c:1") == run.due(TIMEOUT)
    assert (GateState.GAVE_UP, math.inf) == (run.gate.state, run.gate.wake_at)


def test_it_gives_up_once_a_run() -> None:
    run = gate()
    run.start(0)
    run.due(TIMEOUT)

    assert [None] * 3 == [run.due(TIMEOUT + 1), run.image(TIMEOUT + 2, "a:1", Outcome.FAILED), run.end(TIMEOUT + 3)]


def test_images_that_come_after_it_gave_up_open_it_for_their_sake() -> None:
    run = gate()
    run.start(0)
    run.due(TIMEOUT)

    assert None is run.present(TIMEOUT + 1)
    assert PRESENT == run.end(TIMEOUT + 1)
    assert GateState.OPEN is run.gate.state


def test_a_timeout_of_zero_waits_for_ever() -> None:
    run = gate(timeout=math.inf)
    run.start(0)
    run.attempt(1, "a:1")

    assert (math.inf, None, None) == (run.gate.wake_at, run.due(1e9), run.end(1e9))


@pytest.mark.parametrize("age", [TIMEOUT, 10 * TIMEOUT])
def test_a_run_that_begins_too_late_looks_for_the_images_before_it_gives_up(age: float) -> None:
    run = gate(age)
    run.start(age)

    assert age + LOOK_AROUND == run.gate.wake_at
    assert [None] * 3 == [run.due(age + 1), run.present(age + 2), run.due(age + LOOK_AROUND)]
    assert PRESENT == run.end(age + 3)


def test_a_run_that_begins_too_late_gives_up_when_an_image_turns_out_to_be_missing() -> None:
    run = gate(TIMEOUT)
    run.start(TIMEOUT)
    run.present(TIMEOUT + 1, "a:1")

    assert None is run.attempt(TIMEOUT + 2, "b:1", is_present=True)
    assert gave_up("b:1", "c:1") == run.attempt(TIMEOUT + 3, "c:1")


def test_a_run_that_begins_too_late_gives_up_when_an_image_fails_without_an_attempt() -> None:
    run = gate(TIMEOUT)
    run.start(TIMEOUT)

    assert gave_up(*NAMES) == run.image(TIMEOUT + 1, "c:1", Outcome.FAILED)


def test_without_a_runtime_it_gives_up_without_names() -> None:
    run = gate()

    assert (None, gave_up()) == (run.due(TIMEOUT - 1), run.due(TIMEOUT))


@pytest.mark.parametrize("end", [RunEnd.NO_RUNTIME, RunEnd.TIMED_OUT, RunEnd.FINISHED])
def test_a_run_that_ends_after_the_time_is_over_gives_up(end: RunEnd) -> None:
    run = gate(TIMEOUT)

    assert gave_up() == run.end(TIMEOUT + 1, end)


def test_a_run_that_is_stopped_before_it_has_looked_says_nothing() -> None:
    """An edit of the list stops a run of `keep` at any moment; the next one looks."""
    run = gate(TIMEOUT)
    run.start(TIMEOUT)
    run.image(TIMEOUT + 1, "a:1", Outcome.FAILED, reason="cancelled")

    assert (None, GateState.CLOSED) == (run.end(TIMEOUT + 1, RunEnd.STOPPED), run.gate.state)


def test_later_runs_after_it_gave_up_say_so_again() -> None:
    """The condition, the aggregator and the log know no other runs."""
    run = gate(5, state=GateState.GAVE_UP)  # as it does without waiting for the time, see below
    run.start(5)

    assert (None, gave_up(*NAMES)) == (run.due(6), run.attempt(7, "a:1"))


def test_once_open_for_its_images_nothing_counts_any_more() -> None:
    run = gate(TIMEOUT, state=GateState.OPEN)
    run.start(TIMEOUT)

    assert math.inf == run.gate.wake_at
    assert [None] * 3 == [run.attempt(TIMEOUT, "a:1"), run.image(TIMEOUT, "a:1", Outcome.FAILED), run.end(TIMEOUT)]
    assert GateState.OPEN is run.gate.state


def test_open_for_its_images_it_says_so_once() -> None:
    run = gate(TIMEOUT, state=GateState.OPEN)
    run.start(TIMEOUT)
    run.present(TIMEOUT)

    assert (None, True) == (run.end(TIMEOUT), run.gate.is_satisfied)


def test_it_opens_in_mid_run_when_only_images_are_left_that_are_not_needed() -> None:
    run = gate(needed=("c:1", "a:1"))
    run.start(0)

    assert (None, None) == (run.present(1, "c:1"), run.attempt(2, "b:1"))
    assert PRESENT == run.image(9, "a:1", Outcome.SUCCEEDED)
    assert [None] * 2 == [run.image(10, "b:1", Outcome.FAILED), run.end(11)]


def test_needed_images_that_come_last_open_it_at_the_end() -> None:
    run = gate(needed=("a:1",))
    run.start(0)

    assert (None, None) == (run.present(1, "b:1", "c:1"), run.present(2, "a:1"))
    assert PRESENT == run.end(3)


def test_an_image_that_is_not_needed_is_no_reason_to_give_up() -> None:
    run = gate(TIMEOUT, needed=("a:1",))
    run.start(TIMEOUT)

    assert (None, None) == (run.attempt(TIMEOUT, "b:1"), run.image(TIMEOUT, "b:1", Outcome.FAILED))
    assert gave_up("a:1") == run.attempt(TIMEOUT, "a:1")


@pytest.mark.parametrize(
    ("end", "opens"),
    [(RunEnd.FINISHED, True), (RunEnd.TIMED_OUT, True), (RunEnd.STOPPED, False), (RunEnd.NO_RUNTIME, False)],
)
def test_with_allowed_failures_it_gives_up_at_the_end_as_nobody_tries_again(end: RunEnd, *, opens: bool) -> None:
    run = gate(is_last_try=True)
    run.start(0)
    run.present(1, "a:1", "b:1")
    run.image(2, "c:1", Outcome.FAILED)

    assert (gave_up("c:1") if opens else None) == run.end(3, end)


def test_many_missing_images_are_counted_and_the_first_are_named() -> None:
    names = [f"i{number}:1" for number in range(50)]
    rule = Gate(age=0, timeout=1)
    Run(rule).start(0, *names)

    opened = rule.due(1)

    assert opened is not None
    assert (tuple(names[:20]), 50) == (opened.missing, opened.missing_count)
