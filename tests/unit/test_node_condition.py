"""What the node's condition says, when it is written, and when it is not. On virtual time."""

import pytest
import trio

from nodeprefetch.events import (
    AttemptStarted,
    Event,
    ImageFinished,
    ListRejected,
    NodeConditionSet,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)
from nodeprefetch.kube import Condition, ConflictError, ForbiddenError, ServerFailedError
from nodeprefetch.report.condition_state import MESSAGE_LIMIT
from nodeprefetch.report.gate import Gate, GateState
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_condition import NodeCondition
from nodeprefetch.settings import PullPolicy
from tests.support.fake_nodes import HANG, FakeNodes

TYPE = "nodeprefetch.io/web"
NOW = 1_700_000_000
AT, MINUTE_AGO, TEN_MINUTES_AGO = "2023-11-14T22:13:20Z", "2023-11-14T22:12:20Z", "2023-11-14T22:03:20Z"
BUSY = ServerFailedError("503: busy")


def condition(
    status: str, reason: str, message: str = "", *, since: str = TEN_MINUTES_AGO, beat: str = TEN_MINUTES_AGO
) -> Condition:
    return Condition(
        type=TYPE,
        status=status,
        reason=reason,
        message=message,
        last_heartbeat_time=beat,
        last_transition_time=since,
    )


PRESENT = condition("True", "ImagesPresent", "1 image present")
FAILED = condition("False", "PullFailed", "1 of 1 image missing; first failure: a:1: not found")


class Reporting:
    """A NodeCondition on a fake node, and all that it said."""

    def __init__(self, *known: Condition, gate: Gate | None = None, **options: bool) -> None:
        other = Condition(type="Ready", status="True")
        self.nodes = FakeNodes(conditions={each.type: each for each in (other, *known)})
        self.complaints: list[str] = []
        self.told: list[NodeConditionSet] = []
        self.condition = NodeCondition(
            NodeApi("n1", connect=self.nodes.connect, warn=self.complaints.append, jitter=lambda: 1),
            "web",
            prefix="nodeprefetch.io",
            emit=self.hear,
            gate=gate,
            clock=lambda: NOW,
            **options,
        )
        self.gate = gate
        self.age = 0.0

    def hear(self, event: Event) -> None:
        self.told.append(event)
        self.condition.emit(event)

    def feed(self, event: Event) -> None:
        """The reporter, and after it the gate."""
        self.condition.emit(event)
        if self.gate is not None and (opened := self.gate.take(event, self.age)):
            self.condition.emit(opened)

    @property
    def now(self) -> Condition | None:
        return self.nodes.conditions.get(TYPE)

    def said(self) -> list[tuple[str, str, str]]:
        return [(each.status, each.reason, each.error) for each in self.told]

    def start(self, *images: str) -> None:
        self.feed(RunStarted(run_id="r", node="n1", version="1", runtime="containerd 2", socket="/s", images=images))

    def attempt(self, image: str = "a:1", *, is_present: bool = False) -> None:
        self.feed(AttemptStarted(attempt_id="x", image=image, attempt=1, limit=30, is_present=is_present))

    def end_image(self, image: str, outcome: Outcome, error: str = "") -> None:
        self.feed(
            ImageFinished(image=image, outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1, error=error)
        )

    async def meanwhile(self) -> None:
        """For a second, pulls run."""
        with trio.move_on_after(1):
            await self.condition.run()

    async def end(self, end: RunEnd = RunEnd.FINISHED, *, failed: int = 0, superseded: bool = False) -> None:
        self.feed(
            RunFinished(run_id="r", end=end, succeeded=1, present=0, failed=failed, elapsed=2, superseded=superseded)
        )
        await self.condition.finish()


async def test_a_node_with_all_images_says_true(autojump_clock):
    reporting = Reporting()
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.PRESENT)
    await reporting.end()

    assert condition("True", "ImagesPresent", "1 image present", since=AT, beat=AT) == reporting.now
    assert [("True", "ImagesPresent", "")] == reporting.said()
    assert {"Ready", TYPE} == set(reporting.nodes.conditions)
    assert [] == reporting.complaints


async def test_a_node_that_lacks_images_says_how_many_and_which_failed_first(autojump_clock):
    reporting = Reporting(PRESENT)
    reporting.start("a:1", "b:1", "c:1")
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    reporting.end_image("b:1", Outcome.FAILED, "not found")
    reporting.end_image("c:1", Outcome.FAILED, "cancelled")
    await reporting.end(RunEnd.TIMED_OUT, failed=2)

    message = "2 of 3 images missing (run timed-out); first failure: b:1: not found"
    assert condition("False", "PullFailed", message, since=AT, beat=AT) == reporting.now


async def test_the_message_is_bounded(autojump_clock):
    reporting = Reporting()
    reporting.start("a" * 5000)
    reporting.end_image("a" * 5000, Outcome.FAILED, "é" * 5000)
    await reporting.end(failed=1)

    assert MESSAGE_LIMIT >= len(reporting.now.message) > 1000


async def test_a_run_that_found_no_runtime_says_false(autojump_clock):
    reporting = Reporting(PRESENT)
    reporting.end_image("a:1", Outcome.FAILED, "no container runtime answered")
    await reporting.end(RunEnd.NO_RUNTIME, failed=1)

    message = "1 of 1 image missing (run no-runtime); first failure: a:1: no container runtime answered"
    assert condition("False", "PullFailed", message, since=AT, beat=AT) == reporting.now


async def test_a_run_that_never_began_says_false(autojump_clock):
    reporting = Reporting(PRESENT)
    await reporting.condition.finish()

    assert ("False", "PullFailed") == (reporting.now.status, reporting.now.reason)


async def test_what_is_on_the_node_already_is_not_written_again(autojump_clock):
    reporting = Reporting(PRESENT)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    await reporting.end()

    assert (PRESENT, []) == (reporting.now, reporting.told)
    assert [] == reporting.nodes.times("patch status")


async def test_another_reason_or_message_leaves_the_time_of_the_transition(autojump_clock):
    reporting = Reporting(FAILED)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.FAILED, "unauthorized")
    await reporting.end(failed=1)

    assert (TEN_MINUTES_AGO, AT) == (reporting.now.last_transition_time, reporting.now.last_heartbeat_time)
    assert "unauthorized" in reporting.now.message


@pytest.mark.parametrize(("beat", "writes"), [(TEN_MINUTES_AGO, 1), (MINUTE_AGO, 0)])
async def test_with_a_heartbeat_an_equal_one_is_written_after_five_minutes(autojump_clock, beat, writes):
    reporting = Reporting(condition("True", "ImagesPresent", "1 image present", beat=beat), has_heartbeat=True)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.PRESENT)
    await reporting.end()

    assert writes == len(reporting.nodes.times("patch status"))
    assert TEN_MINUTES_AGO == reporting.now.last_transition_time


@pytest.mark.parametrize("known", [[], [PRESENT]])
async def test_pulling_is_said_once_an_image_is_missing(autojump_clock, known):
    reporting = Reporting(*known)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.condition.run)
        reporting.start("a:1", "b:1")
        await trio.sleep(1)
        before = reporting.nodes.calls.copy()
        reporting.attempt()
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert [] == before
    message = "pulling missing images; 2 images in the list"
    assert condition("False", "Pulling", message, since=AT, beat=AT) == reporting.now
    assert [("False", "Pulling", "")] == reporting.said()


async def test_it_is_not_said_of_an_image_whose_tag_is_looked_up(autojump_clock):
    reporting = Reporting(PRESENT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.condition.run)
        reporting.start("a:1")
        reporting.attempt(is_present=True)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert [] == reporting.nodes.calls


async def test_a_failure_stays_while_it_is_tried_again(autojump_clock):
    """Nobody learns anything from `Pulling` every fifteen minutes."""
    reporting = Reporting(FAILED)
    reporting.attempt()

    await reporting.meanwhile()

    assert (FAILED, []) == (reporting.now, reporting.told)


async def test_on_a_warm_node_it_stays_true_while_a_lost_image_is_pulled_again(autojump_clock):
    reporting = Reporting(PRESENT, is_warm=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.condition.run)
        reporting.start("a:1")
        reporting.attempt()
        await trio.sleep(1)
        reporting.end_image("a:1", Outcome.SUCCEEDED)
        await reporting.end()
        nursery.cancel_scope.cancel()

    assert PRESENT == reporting.now
    assert [] == reporting.nodes.times("patch status")


async def test_on_a_warm_node_it_turns_false_at_once_when_a_lost_image_cannot_be_pulled_again(autojump_clock):
    reporting = Reporting(PRESENT, is_warm=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.condition.run)
        reporting.start("a:1", "b:1")
        reporting.attempt()
        reporting.end_image("a:1", Outcome.FAILED, "not found")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    message = "1 of 2 images missing; first failure: a:1: not found"
    assert condition("False", "PullFailed", message, since=AT, beat=AT) == reporting.now


@pytest.mark.parametrize("has_heartbeat", [True, False])
async def test_on_a_warm_node_where_nothing_has_changed_the_api_server_is_not_called(autojump_clock, has_heartbeat):
    reporting = Reporting(PRESENT, is_warm=True, has_heartbeat=has_heartbeat)
    reporting.start("a:1")
    reporting.attempt(is_present=True)
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    await reporting.end()

    assert [] == reporting.nodes.calls


async def test_a_run_that_another_one_follows_at_once_leaves_it_to_that(autojump_clock):
    reporting = Reporting(PRESENT)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.FAILED, "cancelled")
    await reporting.end(RunEnd.STOPPED, failed=1, superseded=True)

    assert [] == reporting.nodes.calls


async def test_pulling_is_read_again_when_the_kubelet_wrote_in_between(autojump_clock):
    """The pause after a conflict is 0.5 s at most."""
    reporting = Reporting(PRESENT)
    reporting.nodes.on_patch_status = [ConflictError("409")]
    reporting.attempt()

    await reporting.meanwhile()

    assert "Pulling" == reporting.now.reason
    assert ([0, 0.5], [0, 0.5]) == (reporting.nodes.times("get"), reporting.nodes.times("patch status"))


async def test_pulling_that_arrives_late_does_not_undo_the_end(autojump_clock):
    """`run` is cancelled while its request hangs, `finish` writes, then the request is carried out after all."""
    reporting = Reporting()
    reporting.start("a:1")
    reporting.attempt()
    late = {}
    patch = reporting.nodes.patch_node_condition

    async def overhear(name, change, **how):
        late.update(how, change=change)
        await trio.sleep_forever()

    reporting.nodes.patch_node_condition = overhear
    await reporting.meanwhile()
    reporting.nodes.patch_node_condition = patch
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    await reporting.end()

    with pytest.raises(ConflictError):
        await patch("n1", late.pop("change"), **late)
    assert "True" == reporting.now.status


async def test_what_passes_is_tried_again(autojump_clock):
    """Pauses of 0.25 and 0.5 s, and 0.25 s for the patch."""
    reporting = Reporting()
    reporting.nodes.on_get, reporting.nodes.on_patch_status = [BUSY, BUSY], [BUSY]
    await reporting.end()

    assert ([0, 0.25, 0.75], [0.75, 1.0]) == (reporting.nodes.times("get"), reporting.nodes.times("patch status"))
    assert [("True", "ImagesPresent", "")] == reporting.said()


async def test_when_the_grace_is_over_the_condition_that_is_missing_is_told(autojump_clock):
    reporting = Reporting()
    reporting.nodes.on_get = [HANG, HANG]

    with trio.move_on_after(6):
        await reporting.end()

    assert [("True", "ImagesPresent", "no time left: no answer in 5s")] == reporting.said()
    assert ["cannot set node condition to True: no time left: no answer in 5s"] == reporting.complaints


@pytest.mark.parametrize(
    ("script", "right"),
    [("on_get", "get nodes"), ("on_patch_status", "patch nodes/status")],
)
async def test_the_right_that_is_missing_is_named(autojump_clock, script, right):
    reporting = Reporting()
    setattr(reporting.nodes, script, [ForbiddenError("403")])
    await reporting.end()

    (complaint,) = reporting.complaints
    assert f"cannot set node condition: 403 (missing permission to {right}; check: " in complaint
    assert [("True", "ImagesPresent", "403")] == reporting.said()


@pytest.mark.parametrize("known", [PRESENT, condition("False", "ListInvalid", "images.txt:1: invalid")])
async def test_a_report_looks_at_the_node_though_nothing_has_changed(autojump_clock, known):
    """An older run may have left it so."""
    reporting = Reporting(known, is_warm=True, is_report=True)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.PRESENT)
    await reporting.end()

    assert ("True", "ImagesPresent") == (reporting.now.status, reporting.now.reason)
    assert 1 == len(reporting.nodes.times("get"))


async def test_a_report_without_a_runtime_leaves_a_warm_node_to_the_next_run(autojump_clock):
    reporting = Reporting(PRESENT, is_warm=True, is_report=True)
    reporting.end_image("a:1", Outcome.FAILED, "no container runtime answered")
    await reporting.end(RunEnd.NO_RUNTIME, failed=1)

    assert [] == reporting.nodes.calls


REJECTED = ListRejected(problems=("images.txt:1: invalid", "images.txt:2: invalid"), since=NOW)


async def test_lists_that_were_rejected_are_said_though_all_images_of_the_last_valid_ones_are_present(autojump_clock):
    reporting = Reporting(PRESENT, is_warm=True, is_report=True)
    reporting.feed(REJECTED)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.PRESENT)
    await reporting.end()

    message = "images.txt:1: invalid (and 1 more); using the last valid lists: 1 image present"
    assert condition("False", "ListInvalid", message, since=AT, beat=AT) == reporting.now


async def test_while_lists_are_rejected_the_api_server_is_called_for_reports_alone(autojump_clock):
    reporting = Reporting(condition("False", "ListInvalid", "x"), is_warm=True)
    reporting.feed(REJECTED)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.PRESENT)
    await reporting.end()

    assert [] == reporting.nodes.calls


async def test_once_lists_are_valid_again_pulling_replaces_that(autojump_clock):
    reporting = Reporting(condition("False", "ListInvalid", "x"))
    reporting.start("a:1")
    reporting.attempt()
    await reporting.meanwhile()

    assert ("Pulling", TEN_MINUTES_AGO) == (reporting.now.reason, reporting.now.last_transition_time)


async def test_when_the_gate_gives_up_it_turns_true_at_once_and_says_what_is_missing(autojump_clock):
    reporting = Reporting(gate=Gate(age=0, timeout=900))
    reporting.start("a:1", "b:1")
    reporting.attempt("b:1")
    await reporting.meanwhile()
    before = reporting.now
    reporting.age = 900
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    await reporting.meanwhile()
    at_once = reporting.now
    reporting.end_image("b:1", Outcome.FAILED, "not found")
    await reporting.end(failed=1)

    assert ("False", "Pulling") == (before.status, before.reason)
    assert ("True", "GaveUp") == (at_once.status, at_once.reason)
    assert "gave up waiting: 1 of 2 images missing; first failure: b:1: not found" == reporting.now.message
    assert ("True", "GaveUp") == (reporting.now.status, reporting.now.reason)


async def test_after_the_gate_has_given_up_it_stays_true_until_all_is_present(autojump_clock):
    """Also while the next run tries again, and when that run is stopped before it knows what is missing."""
    given_up = condition("True", "GaveUp", "gave up waiting: 1 of 1 image missing; first failure: a:1: not found")
    stopped = Reporting(given_up, gate=Gate(age=1000, timeout=900, state=GateState.GAVE_UP))
    stopped.start("a:1")
    stopped.attempt()
    await stopped.meanwhile()
    stopped.end_image("a:1", Outcome.FAILED, "cancelled by SIGTERM")
    await stopped.end(RunEnd.STOPPED, failed=1)
    present = Reporting(stopped.now, gate=Gate(age=1000, timeout=900, state=GateState.GAVE_UP))
    present.start("a:1")
    present.attempt()
    await present.meanwhile()
    present.end_image("a:1", Outcome.SUCCEEDED)
    await present.end()

    assert {"True"} == {each.status for each in (*stopped.told, *present.told)}
    assert condition("True", "ImagesPresent", "1 image present", beat=AT) == present.now


async def test_with_needed_images_it_turns_true_while_the_others_are_pulled(autojump_clock):
    reporting = Reporting(gate=Gate(age=0, timeout=900, needed=["a:1"]))
    reporting.start("a:1", "b:1")
    reporting.attempt("a:1")
    await reporting.meanwhile()
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    reporting.attempt("b:1")
    await reporting.meanwhile()
    reporting.end_image("b:1", Outcome.FAILED, "not found")
    await reporting.end(failed=1)

    assert [("False", "Pulling"), ("True", "ImagesPresent"), ("True", "ImagesPresent")] == [
        (each.status, each.reason) for each in reporting.told
    ]
    assert "needed images present; 1 of 2 images missing; first failure: b:1: not found" == reporting.now.message


async def test_with_needed_images_one_that_is_not_needed_changes_nothing(autojump_clock):
    """A pod that was restarted: what is needed is there."""
    message = "needed images present; 1 of 2 images missing; first failure: b:1: not found"
    known = condition("True", "ImagesPresent", message)
    reporting = Reporting(known, gate=Gate(age=9, timeout=900, needed=["a:1"], state=GateState.OPEN))
    reporting.start("a:1", "b:1")
    reporting.attempt("b:1")
    await reporting.meanwhile()
    reporting.end_image("a:1", Outcome.PRESENT)
    reporting.end_image("b:1", Outcome.FAILED, "not found")
    await reporting.end(failed=1)

    assert (known, []) == (reporting.now, reporting.told)


async def test_a_gate_that_opens_with_the_last_image_is_said_at_the_end(autojump_clock):
    reporting = Reporting(gate=Gate(age=0, timeout=900))
    reporting.start("a:1")
    reporting.attempt()
    await reporting.meanwhile()
    reporting.end_image("a:1", Outcome.SUCCEEDED)
    await reporting.meanwhile()
    before = reporting.now
    await reporting.end()

    assert ("Pulling", "ImagesPresent") == (before.reason, reporting.now.reason)


async def test_rejected_lists_do_not_undo_that_the_gate_has_given_up(autojump_clock):
    reporting = Reporting(gate=Gate(age=1000, timeout=900, state=GateState.GAVE_UP))
    reporting.feed(REJECTED)
    reporting.start("a:1")
    reporting.end_image("a:1", Outcome.FAILED, "not found")
    await reporting.end(failed=1)

    assert ("True", "GaveUp") == (reporting.now.status, reporting.now.reason)


async def test_what_has_been_said_of_one_image_is_not_looked_at_again_for_the_next(autojump_clock):
    reporting = Reporting()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.condition.run)
        reporting.start("a:1", "b:1")
        for image in ("a:1", "b:1"):
            reporting.attempt(image)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert (1, 1) == (len(reporting.nodes.times("get")), len(reporting.nodes.times("patch status")))


async def test_the_end_is_written_though_it_is_there_while_an_earlier_request_may_still_be_carried_out(autojump_clock):
    """`Pulling` hangs at an API server that is slow, and the node says what it is to say in the end."""
    reporting = Reporting(PRESENT)
    reporting.nodes.on_patch_status = [HANG]
    reporting.start("a:1")
    reporting.attempt()
    node = await reporting.nodes.get_node("n1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporting.condition.run)
        await trio.sleep(1)
        reporting.end_image("a:1", Outcome.SUCCEEDED)
        await reporting.end()

    with pytest.raises(ConflictError):
        await reporting.nodes.patch_node_condition("n1", FAILED, resource_version=node.resource_version)
    assert condition("True", "ImagesPresent", "1 image present", beat=AT) == reporting.now
