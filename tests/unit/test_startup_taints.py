"""When startup taints are removed from the node, and what happens when that does not work. On virtual time."""

import pytest
import trio

from nodeprefetch.events import Event, GateOpened, ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.kube import (
    ForbiddenError,
    InvalidError,
    NotInClusterError,
    ServerFailedError,
    UnreachableError,
)
from nodeprefetch.report.gate import Gate, GateState
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.startup_taints import StartupTaints
from nodeprefetch.settings import PullPolicy
from nodeprefetch.values.taint import parse_taint
from tests.support.fake_nodes import HANG, FakeNodes

OURS = {"key": "warm", "effect": "NoSchedule"}
OTHER = {"key": "other", "effect": "NoExecute", "value": "x", "timeAdded": "2026-01-31T12:00:00Z"}
POLICY = InvalidError("removing taints of node n1: 422: denied by a policy")


class Node:
    """A node with its startup taints, in a run."""

    def __init__(self, *taints: dict[str, str], named: tuple[str, ...] = ("warm",), gate: Gate | None = None) -> None:
        self.calls = FakeNodes(taints=list(taints))
        self.gate = gate or Gate(age=0, timeout=900)
        self.told: list[Event] = []
        self.reports: list[str] = []
        self.complaints: list[str] = []
        self.taints = StartupTaints(
            NodeApi("n1", connect=self.calls.connect, warn=self.complaints.append, jitter=lambda: 1),
            [parse_taint(text) for text in named],
            gate=self.gate,
            emit=self.hear,
            report=self.reports.append,
        )

    def hear(self, event: Event) -> None:
        self.told.append(event)
        self.taints.emit(event)

    def take(self, event: Event, age: float = 1) -> None:
        self.taints.emit(event)
        opened = self.gate.take(event, age)
        if opened is not None:
            self.taints.emit(opened)

    def run_images(self, outcome: Outcome = Outcome.PRESENT) -> None:
        self.take(RunStarted(run_id="r", node="n1", version="1", runtime="c", socket="/s", images=("a:1",)))
        self.take(ImageFinished(image="a:1", outcome=outcome, policy=PullPolicy.ALWAYS, attempts=1, elapsed=1))
        self.take(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=0, present=0, failed=0, elapsed=1))

    def said(self) -> list[tuple[tuple[str, ...], str]]:
        return [(event.taints, event.error) for event in self.told]

    def asked(self) -> list[str]:
        return [what for _, what, _ in self.calls.calls if what != "connect"]


async def test_at_the_end_of_the_run_that_has_all_images_the_taint_is_removed(autojump_clock):
    node = Node(OTHER, OURS)
    node.run_images()

    await node.taints.finish()

    assert [OTHER] == node.calls.taints
    assert (["get", "remove"], [(("warm:NoSchedule",), "")], [""]) == (node.asked(), node.said(), node.reports)


async def test_no_other_taint_is_removed(autojump_clock):
    others = [OTHER, {"key": "warm", "effect": "NoExecute"}, {"key": "warmer", "effect": "NoSchedule"}]
    node = Node(*others, OURS, named=("warm:NoSchedule", "absent"))
    node.run_images()

    await node.taints.finish()

    assert others == node.calls.taints


async def test_several_taints_are_removed_with_one_request(autojump_clock):
    node = Node(OURS, OTHER, {"key": "x.io/b", "effect": "NoSchedule", "value": "1"}, named=("warm", "x.io/b=1"))
    node.run_images()

    await node.taints.finish()

    assert ([OTHER], ["get", "remove"]) == (node.calls.taints, node.asked())
    assert [(("warm:NoSchedule", "x.io/b=1:NoSchedule"), "")] == node.said()


async def test_a_node_without_the_taint_is_read_once_and_not_written(autojump_clock):
    node = Node(OTHER)
    node.run_images()

    await node.taints.finish()

    assert (["get"], [], [""]) == (node.asked(), node.said(), node.reports)


async def test_while_images_are_missing_the_api_server_is_not_called(autojump_clock):
    node = Node(OURS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.taints.run)
        node.run_images(Outcome.FAILED)
        await node.taints.finish()

    assert ([OURS], [], []) == (node.calls.taints, node.asked(), node.reports)


async def test_a_gate_that_opens_in_mid_run_removes_it_at_once(autojump_clock):
    node = Node(OURS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.taints.run)
        await trio.sleep(5)
        node.take(GateOpened(after=900, gave_up=True, missing=("a:1",), missing_count=1))
        await trio.sleep(1)
        meanwhile = list(node.calls.taints)
        node.run_images(Outcome.FAILED)
        await node.taints.finish()

    assert ([], ["get", "remove"], [""]) == (meanwhile, node.asked(), node.reports)


async def test_images_that_come_after_that_make_it_look_again(autojump_clock):
    """A node that was registered again meanwhile has the taint again."""
    node = Node(OURS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.taints.run)
        node.take(GateOpened(after=900, gave_up=True))
        await trio.sleep(1)
        node.calls.taints.append(OURS)
        node.run_images()
        await node.taints.finish()

    assert ([], ["", ""]) == (node.calls.taints, node.reports)


async def test_a_later_run_with_all_images_removes_it_again(autojump_clock):
    node = Node(OURS, gate=Gate(age=0, timeout=900, state=GateState.OPEN))
    node.run_images()

    await node.taints.finish()

    assert [] == node.calls.taints


async def test_a_later_run_that_misses_an_image_leaves_it(autojump_clock):
    """A startup taint is for the start."""
    node = Node(OURS, gate=Gate(age=1000, timeout=900, state=GateState.OPEN))
    node.run_images(Outcome.FAILED)

    await node.taints.finish()

    assert ([OURS], []) == (node.calls.taints, node.asked())


async def test_taints_that_change_between_reading_and_removing_are_read_again(autojump_clock):
    node = Node(OURS, OTHER)
    original = node.calls.get_node

    async def get_node(name: str):
        read = await original(name)
        if len(node.asked()) < 8:
            node.calls.taints = node.calls.taints[::-1]
        return read

    node.calls.get_node = get_node
    node.run_images()

    await node.taints.finish()

    assert ([OTHER], []) == (node.calls.taints, node.complaints)
    assert [(("warm:NoSchedule",), "")] == node.said()


async def test_a_policy_that_forbids_it_is_explained_and_not_called_for_ever(autojump_clock):
    node = Node(OURS)
    node.calls.on_remove = [POLICY] * 9
    node.run_images()

    await node.taints.finish()

    assert ["get", "remove"] * 2 == node.asked()
    assert [f"cannot remove taints: {POLICY}"] == node.complaints
    assert ([((), str(POLICY))], [str(POLICY)]) == (node.said(), node.reports)


async def test_a_missing_right_names_what_to_check(autojump_clock):
    node = Node(OURS)
    node.calls.on_remove = [ForbiddenError("removing taints of node n1: 403: forbidden")]
    node.run_images()

    await node.taints.finish()

    (complaint,) = node.complaints
    assert "missing permission to patch nodes; check: kubectl auth can-i patch nodes" in complaint


@pytest.mark.parametrize("error", [ServerFailedError("503"), UnreachableError("no route"), HANG])
async def test_a_server_in_trouble_is_asked_until_it_answers(autojump_clock, error):
    node = Node(OURS)
    node.calls.on_get, node.calls.on_remove = [error] * 3, [error] * 3
    node.run_images()

    await node.taints.finish()

    assert ([], []) == (node.calls.taints, node.complaints)


async def test_a_request_whose_answer_was_lost_is_no_failure(autojump_clock):
    node = Node(OURS, OTHER)
    original = node.calls.remove_taints

    async def remove_taints(read, taints):
        answer = await original(read, taints)
        if node.asked().count("remove") == 1:
            raise UnreachableError("connection lost")
        return answer

    node.calls.remove_taints = remove_taints
    node.run_images()

    await node.taints.finish()

    assert ([OTHER], [""]) == (node.calls.taints, node.reports)


async def test_without_an_answer_in_time_the_taint_is_reported_as_left(autojump_clock):
    node = Node(OURS)
    node.calls.on_get = [UnreachableError("no route")] * 99
    node.run_images()

    with trio.move_on_after(10):
        await node.taints.finish()

    assert (["no time left: no route"], ["cannot remove taints: no time left: no route"]) == (
        node.reports,
        node.complaints,
    )
    assert [((), "no time left: no route")] == node.said()


async def test_a_try_in_mid_run_does_not_hold_up_the_last_one(autojump_clock):
    node = Node(OURS)
    node.calls.on_get = [HANG]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.taints.run)
        node.take(GateOpened(after=900, gave_up=True))
        await trio.sleep(1)
        node.run_images()
        await node.taints.finish()

        assert ([], 1) == (node.calls.taints, trio.current_time() - node.calls.calls[0][0])


async def test_outside_a_cluster_nothing_is_left_to_do(autojump_clock):
    node = Node(OURS)
    node.calls.on_connect = [NotInClusterError("not running in a cluster")]
    node.run_images()

    await node.taints.finish()

    assert ([], []) == (node.said(), node.reports)
