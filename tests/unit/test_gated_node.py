"""Whole runs on a node that takes no pods until its images are there: all that writes on it, on virtual time."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio

from nodeprefetch.emitter import Emitter
from nodeprefetch.events import Event, GateOpened, TaintsRemoved
from nodeprefetch.kube import UnreachableError
from nodeprefetch.pull.run import Report, fetch
from nodeprefetch.report.gate import Gate
from nodeprefetch.report.gate_record import GateRecord
from nodeprefetch.report.gatekeeper import Gatekeeper
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.node_condition import NodeCondition
from nodeprefetch.report.node_events import NodeEvents
from nodeprefetch.report.node_label import NodeLabel
from nodeprefetch.report.readers import reporting
from nodeprefetch.report.startup_taints import StartupTaints
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.settings import FetchSettings
from nodeprefetch.testing.credentials import FakeCredentialSource
from nodeprefetch.testing.service import FakeImageService, Hang, Step
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.taint import parse_taint
from tests.support.fake_nodes import FakeNodes

KEY = "nodeprefetch.io/web"
OURS, OTHER = {"key": "warm", "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"}
TIMEOUT = 900
PATIENT = RetryPolicy(initial_timeout=10_000, max_timeout=10_000)
ID = "sha256:" + "0" * 64


class GatedNode:
    """A new node. Each run is a process of its own."""

    def __init__(self, path: Path, *, has_taints: bool = True) -> None:
        self.has_taints = has_taints
        self.nodes = FakeNodes(taints=[OURS, OTHER])
        self.path = path
        self.told: list[tuple[float, Event]] = []
        self.complaints: list[str] = []
        self.began: float | None = None
        self.is_stuck = False

    async def run(
        self, service: FakeImageService, *images: str, needed: tuple[str, ...] | None = None, until: float = 1200
    ) -> Report:
        began = self.began = trio.current_time() if self.began is None else self.began
        emit = Emitter(lambda event: self.told.append((trio.current_time() - began, event)))
        api = NodeApi(
            "n1",
            connect=self.nodes.connect,
            warn=self.complaints.append,
            inform=self.complaints.append,
            jitter=lambda: 1,
        )
        record = GateRecord(str(self.path), warn=pytest.fail, clock=trio.current_time, boot=lambda: "b1")
        gate = Gate(age=record.age, timeout=TIMEOUT, state=record.state, needed=needed)
        keeper = Gatekeeper(gate, record, emit=emit)
        speakers = [
            NodeCondition(api, "web", prefix="nodeprefetch.io", emit=emit, gate=gate, report=keeper.confirmation()),
            NodeLabel(api, "web", prefix="nodeprefetch.io", emit=emit),
            *(self.taints(api, gate, emit, keeper) if self.has_taints else []),
            NodeEvents(api, "web"),
            keeper,
        ]
        for each in speakers:
            emit.add(each.emit)

        async def connect(_: trio.Nursery) -> Runtime:
            return Runtime(service=service, version=await service.version(), socket="/fake.sock", containerd=None)

        async with reporting([], grace=15, speakers=speakers, warn=self.complaints.append):
            report = await fetch(
                list(map(ImageRef.parse, images)),
                FetchSettings(overall_timeout=until, retry=PATIENT, max_parallel_pulls=0),
                connect=connect,
                credentials=FakeCredentialSource(),
                emit=emit,
                jitter=lambda: 1,
            )
        self.is_stuck = keeper.is_stuck
        return report

    def taints(self, api: NodeApi, gate: Gate, emit: Emitter, keeper: Gatekeeper) -> list[StartupTaints]:
        return [StartupTaints(api, [parse_taint("warm")], gate=gate, emit=emit, report=keeper.confirmation())]

    @property
    def condition(self) -> tuple[str, str, str]:
        found = self.nodes.conditions[KEY]
        return found.status, found.reason, found.message

    @property
    def keys(self) -> list[object]:
        return [taint["key"] for taint in self.nodes.taints]

    def opened(self) -> list[tuple[float, bool]]:
        return [(at, event.gave_up) for at, event in self.told if isinstance(event, GateOpened)]

    def removed(self) -> list[float]:
        return [at for at, event in self.told if isinstance(event, TaintsRemoved) and not event.error]

    def event_reasons(self) -> list[str]:
        return [event.reason for event in self.nodes.events]

    def writes(self) -> list[str]:
        return [what for _, what, _ in self.nodes.calls if what not in {"connect", "get"}]


@pytest.fixture
def node(tmp_path: Path) -> GatedNode:
    return GatedNode(tmp_path / "first-run")


def service(**pulls: Step) -> FakeImageService:
    return FakeImageService(pulls={f"{name}:1": [script] for name, script in pulls.items()})


async def test_at_the_end_condition_label_taint_and_event_are_written_in_this_order(autojump_clock, node):
    await node.run(service(a=Hang(60)), "a:1")

    assert ("True", "ImagesPresent", "1 image present") == node.condition
    assert ({KEY: "succeeded"}, ["other"]) == (node.nodes.labels, node.keys)
    assert ["patch status", "patch status", "patch", "remove", "create"] == node.writes()  # the first says: pulling
    assert ([(60, False)], ["ImagesPrefetched"]) == (node.opened(), node.event_reasons())


async def test_when_time_is_over_the_node_takes_pods_in_mid_run_and_everything_says_so(autojump_clock, node):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run, service(a=ID, b=Hang(5000)), "a:1", "b:1")
        await trio.sleep(TIMEOUT - 1)
        before = node.condition[:2], node.keys
        await trio.sleep(5)
        meanwhile = node.condition, node.keys, node.event_reasons(), node.opened(), dict(node.nodes.labels)

    assert (("False", "Pulling"), ["warm", "other"]) == before
    assert (
        ("True", "GaveUp", "gave up waiting: 1 image missing: b:1"),
        ["other"],
        ["ImagePrefetchGaveUp"],
        [(TIMEOUT, True)],
        {},
    ) == meanwhile
    assert "web: takes pods without all images after 15m; 1 image missing: b:1" == node.nodes.events[0].message
    summary = json.loads(node.nodes.annotations[f"{KEY}.summary"])
    assert ("failed", "failed", True) == (node.nodes.labels[KEY], summary["result"], summary["gave_up"])
    assert ("True", "GaveUp") == node.condition[:2]
    assert ["ImagePrefetchGaveUp", "ImagePrefetchFailed"] == node.event_reasons()


async def test_a_gate_that_gave_up_and_gets_its_images_later_says_that_they_are_present(autojump_clock, node):
    await node.run(service(a=Hang(5000)), "a:1")
    gave_up = node.condition[1], node.keys
    await node.run(service(a=Hang(5000)), "a:1", until=60)
    still = node.condition[1]
    await node.run(service(a=Hang(30)), "a:1")

    assert (("GaveUp", ["other"]), "GaveUp") == (gave_up, still)
    assert ("True", "ImagesPresent", "1 image present") == node.condition
    assert ([True, True, True, False], {KEY: "succeeded"}) == (
        [gave_up for _, gave_up in node.opened()],
        node.nodes.labels,
    )
    assert "gave_up" not in json.loads(node.nodes.annotations[f"{KEY}.summary"])


async def test_the_condition_stays_true_while_later_runs_pull_what_is_missing(autojump_clock, node):
    await node.run(service(a=Hang(5000)), "a:1")
    seen = set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run, service(a=Hang(30)), "a:1")
        for _ in range(40):
            await trio.sleep(1)
            seen.add(node.condition[:2])

    assert {("True", "GaveUp"), ("True", "ImagesPresent")} == seen


async def test_needed_images_open_it_in_mid_run_and_the_others_come_later(autojump_clock, node):
    async with trio.open_nursery() as nursery:
        pulls = service(a=Hang(20), b=Hang(5000))
        nursery.start_soon(partial(node.run, pulls, "a:1", "b:1", needed=("a:1",)))
        await trio.sleep(25)
        meanwhile = node.condition, node.keys, dict(node.nodes.labels)

    assert (
        ("True", "ImagesPresent", "needed images present; pulling missing images; 2 images in the list"),
        ["other"],
        {},
    ) == meanwhile
    assert ("True", "ImagesPresent") == node.condition[:2]
    assert "needed images present; 1 of 2 images missing" in node.condition[2]
    assert ([(20, False)], {KEY: "failed"}) == (node.opened(), node.nodes.labels)


async def test_an_api_server_that_is_down_when_the_gate_opens_is_tried_until_it_is_back(autojump_clock, node):
    """In mid-run there is time; the last try comes within thirty seconds."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run, service(a=Hang(5000)), "a:1")
        await trio.sleep(TIMEOUT - 1)
        node.nodes.on_get = 15 * [UnreachableError("no route")]
        await trio.sleep(200)
        meanwhile = node.keys, node.condition[1]

    assert (["other"], "GaveUp") == meanwhile
    assert not node.is_stuck


async def test_an_api_server_that_is_down_at_the_end_leaves_the_taint_to_the_next_run(autojump_clock, node):
    node.nodes.on_get = 200 * [UnreachableError("no route")]
    node.nodes.on_patch = 200 * [UnreachableError("no route")]
    await node.run(service(a=ID), "a:1")
    left = node.keys, node.is_stuck
    node.nodes.on_get, node.nodes.on_patch = [], []
    await node.run(service(a=ID), "a:1")

    assert ((["warm", "other"], True), (["other"], False)) == (left, (node.keys, node.is_stuck))
    assert {KEY: "succeeded"} == node.nodes.labels
    assert [False, False] == [gave_up for _, gave_up in node.opened()]


async def test_an_api_server_that_is_down_at_the_end_leaves_the_condition_to_the_next_run(autojump_clock, tmp_path):
    """A controller may wait for it: without another run the node would take no pods for ever."""
    node = GatedNode(tmp_path / "first-run", has_taints=False)
    node.nodes.on_get = 200 * [UnreachableError("no route")]
    await node.run(service(a=ID), "a:1")
    left = KEY in node.nodes.conditions, node.is_stuck
    node.nodes.on_get = []
    await node.run(service(a=ID), "a:1")

    assert ((False, True), False) == (left, node.is_stuck)
    assert ("True", "ImagesPresent") == node.condition[:2]


async def test_a_condition_that_says_that_images_are_missing_need_not_be_said_for_the_node(autojump_clock, node):
    node.has_taints = False
    node.nodes.on_get = 200 * [UnreachableError("no route")]
    await node.run(service(a=Hang(5000)), "a:1", until=60)

    assert not node.is_stuck


async def test_an_image_that_is_removed_later_does_not_close_it(autojump_clock, node):
    await node.run(service(a=ID), "a:1")
    node.nodes.taints.append(OURS)  # somebody else's doing
    await trio.sleep(2 * TIMEOUT)
    await node.run(service(a=Hang(5000)), "a:1", until=60)

    assert ([(0, False)], ["other", "warm"]) == (node.opened(), node.keys)
    assert ("False", "PullFailed") == node.condition[:2]


async def test_a_node_that_is_registered_again_with_all_its_images_loses_the_taint_again(autojump_clock, node):
    await node.run(service(a=ID), "a:1")
    node.nodes.taints.append(OURS)
    await node.run(service(a=ID), "a:1")

    assert (["other"], 2) == (node.keys, len(node.removed()))
    assert 1 == len(node.opened())
