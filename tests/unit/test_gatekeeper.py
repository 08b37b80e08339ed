"""A gate in real runs on virtual time: when it gives up, and what the next run finds."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from nodeprefetch.emitter import Emitter
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
from nodeprefetch.report.gate import Gate, GateState
from nodeprefetch.report.gate_record import GateRecord
from nodeprefetch.report.gatekeeper import Gatekeeper
from nodeprefetch.settings import PullPolicy

TIMEOUT = 900


class Run:
    """A process that starts now."""

    def __init__(self, path: Path | str, *, openers: int = 0) -> None:
        self.told: list[tuple[float, bool, tuple[str, ...]]] = []
        self.emit = Emitter(self.hear)
        self.record = GateRecord(str(path), warn=pytest.fail, clock=trio.current_time, boot=lambda: "b1")
        gate = Gate(age=self.record.age, timeout=TIMEOUT, state=self.record.state)
        self.keeper = Gatekeeper(gate, self.record, emit=self.emit)
        self.confirm = [self.keeper.confirmation() for _ in range(openers)]
        self.emit.add(self.keeper.emit)

    def hear(self, event: Event) -> None:
        if isinstance(event, GateOpened):
            self.told.append((trio.current_time(), event.gave_up, event.missing))

    def start(self) -> None:
        self.emit(RunStarted(run_id="r", node="n", version="1", runtime="c", socket="/s", images=("a:1", "b:1")))

    def attempt(self, image: str) -> None:
        self.emit(AttemptStarted(attempt_id="x", image=image, attempt=1, limit=30))

    def image(self, image: str, outcome: Outcome = Outcome.SUCCEEDED) -> None:
        self.emit(ImageFinished(image=image, outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1))

    def end(self, failed: int = 0) -> None:
        self.emit(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=0, present=0, failed=failed, elapsed=1))


Start = Callable[..., Run]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate"


async def test_it_gives_up_in_mid_run_at_that_very_moment(autojump_clock, path):
    run, began = Run(path), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.keeper.run)
        run.start()
        await trio.sleep(10)
        run.attempt("a:1")
        run.image("b:1")
        await trio.sleep(2 * TIMEOUT)
        nursery.cancel_scope.cancel()

    assert [(began + TIMEOUT, True, ("a:1",))] == run.told


async def test_a_clock_that_lags_by_the_last_bit_is_not_waited_for(autojump_clock, path):
    run, began = Run(path), trio.current_time()
    run.record._clock = lambda: min(trio.current_time(), began + TIMEOUT - 1e-10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.keeper.run)
        run.start()
        run.attempt("a:1")
        await trio.sleep(TIMEOUT + 1)
        nursery.cancel_scope.cancel()

    assert [True] == [gave_up for _, gave_up, _ in run.told]


async def test_a_restarted_container_goes_on_counting(autojump_clock, path):
    """Second process, same file."""
    first, began = Run(path), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.keeper.run)
        first.start()
        await trio.sleep(TIMEOUT - 100)
        nursery.cancel_scope.cancel()  # killed
    await trio.sleep(60)

    second = Run(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.keeper.run)
        second.start()
        second.attempt("a:1")
        second.attempt("b:1")
        await trio.sleep(TIMEOUT)
        nursery.cancel_scope.cancel()

    assert ([], [(began + TIMEOUT, True, ("a:1", "b:1"))]) == (first.told, second.told)


async def test_an_image_that_is_missed_after_the_time_gives_up_at_once(autojump_clock, path):
    Run(path)
    await trio.sleep(2 * TIMEOUT)
    run, began = Run(path), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.keeper.run)
        run.start()
        await trio.sleep(3)
        run.attempt("a:1")
        await trio.sleep(TIMEOUT)
        nursery.cancel_scope.cancel()

    assert [(began + 3, True, ("a:1", "b:1"))] == run.told


async def test_an_image_that_is_missed_just_before_the_time_moves_the_alarm(autojump_clock, path):
    Run(path)
    began = trio.current_time()
    await trio.sleep(TIMEOUT - 10)
    run = Run(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.keeper.run)
        run.start()
        await trio.sleep(1)
        run.attempt("a:1")
        await trio.sleep(TIMEOUT)
        nursery.cancel_scope.cancel()

    assert [(began + TIMEOUT, True, ("a:1", "b:1"))] == run.told


async def test_a_gate_that_gave_up_opens_for_its_images_in_a_later_run_and_then_rests(autojump_clock, path):
    said = []
    for outcome in (*3 * [Outcome.FAILED], Outcome.SUCCEEDED, Outcome.PRESENT, Outcome.FAILED):
        run = Run(path)
        run.start()
        run.image("a:1", outcome)
        run.image("b:1")
        run.end(failed=outcome is Outcome.FAILED)
        said.append([gave_up for _, gave_up, _ in run.told])
        await trio.sleep(TIMEOUT)

    assert [[], [True], [True], [False], [], []] == said


async def test_the_record_says_open_only_when_the_node_takes_pods(autojump_clock, path):
    """All who open it must have done so."""
    found = []
    for errors in (("no answer", ""), ("", "no answer"), ("",), ("", "")):
        run = Run(path, openers=2)
        run.start()
        run.image("a:1")
        run.image("b:1")
        run.end()
        for confirm, error in zip(run.confirm, errors, strict=False):
            confirm(error)
        found.append((Run(path).record.state, run.keeper.is_stuck, len(run.told)))

    closed = [(GateState.CLOSED, is_stuck, 1) for is_stuck in (True, True, False)]
    assert [*closed, (GateState.OPEN, False, 1)] == found


async def test_taints_that_are_gone_after_it_gave_up_are_no_sign_of_images(autojump_clock, path):
    run = Run(path, openers=1)
    await trio.sleep(TIMEOUT)
    run.start()
    run.attempt("a:1")
    run.confirm[0]("")

    assert (GateState.GAVE_UP, False) == (Run(path).record.state, run.keeper.is_stuck)
