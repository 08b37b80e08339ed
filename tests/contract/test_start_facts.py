"""What a node finds out from the Kubernetes API before its first pull, from a fake API server over real HTTPS."""

from functools import partial
from pathlib import Path

import msgspec
import pytest

from nodeprefetch.cli import start as module
from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.gate import prepare_gate
from nodeprefetch.cli.start import PreparedStart, prepare_start
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import Problems
from nodeprefetch.events import Event
from nodeprefetch.kube import Node, connect
from nodeprefetch.report.gate import GateState
from nodeprefetch.report.node_description import ZONE_LABEL
from nodeprefetch.tickets.permit import NodeFacts
from nodeprefetch.values.image_ref import ImageRef
from tests.support.fake_kube import STALL, Failure, FakeKube

IMAGES = tuple(ImageRef.parse(f"image{number}:1") for number in range(40))


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine takes longer than a node may."""
    monkeypatch.setattr(module, "API_LIMIT", 300)


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1", {ZONE_LABEL: "eu-1a"})
        running.objects.daemon_sets["prefetch", "web"] = 1000
        yield running


def prepared(api: FakeKube, mount: Path, told: list[Event], node: str = "n1", instance: str = "web") -> PreparedStart:
    api.write_service_account(mount)
    notices = Notices()
    notices.pass_to(told.append)
    return prepare_start(
        FetchFlags(spread="auto", registry_rate="44000/m"),
        Environment(node_name=node, instance_name=instance),
        IMAGES,
        connect=partial(connect, environment=api.environment, mount=mount),
        notices=notices,
        emit=Emitter(),
        mount=mount,
    )


async def test_the_spread_is_what_list_nodes_and_rate_need(api, tmp_path):
    """1000 nodes * 40 images * 13 requests at 44000 a minute are 709 s."""
    told: list[Event] = []

    assert pytest.approx(709.09, abs=0.01) == await prepared(api, tmp_path, told).find_spread()

    assert ["--spread auto: 11m49s for 1000 nodes and 40 images"] == [event.message for event in told]


async def test_a_count_that_cannot_be_read_is_named_and_replaced(api, tmp_path):
    told: list[Event] = []

    assert 600 == await prepared(api, tmp_path, told, instance="other").find_spread()

    (event,) = told
    assert (
        "--spread auto: cannot read the number of nodes, using 10m: reading DaemonSet other: 404:"
        ' daemonsets.apps "other" not found'
    ) == event.message


async def test_without_a_name_of_the_installation_nothing_is_asked(api, tmp_path):
    told: list[Event] = []

    assert 600 == await prepared(api, tmp_path, told, instance="").find_spread()

    assert [] == api.requests
    assert "INSTANCE_NAME" in told[0].message


async def test_the_zone_is_a_label_of_the_node(api, tmp_path):
    assert "eu-1a" == (await prepared(api, tmp_path, []).find_node()).zone
    assert NodeFacts() == await prepared(api, tmp_path, [], node="n2").find_node()


async def test_the_node_that_was_read_is_passed_on(api, tmp_path):
    read: list[Node] = []

    await msgspec.structs.replace(prepared(api, tmp_path, []), on_node=read.append).find_node()
    await msgspec.structs.replace(prepared(api, tmp_path, [], node="n2"), on_node=read.append).find_node()

    assert ["n1"] == [node.name for node in read]


@pytest.mark.parametrize(
    ("flags", "state", "node", "is_gated"),
    [
        ({"remove_taint": ("warm",)}, GateState.CLOSED, "n1", True),
        ({"remove_taint": ("warm=no",)}, GateState.CLOSED, "n1", False),
        ({"remove_taint": ("warm",)}, GateState.OPEN, "n1", False),
        ({"remove_taint": ("warm",)}, GateState.GAVE_UP, "n1", False),
        ({"remove_taint": ("warm",)}, GateState.CLOSED, "n2", True),
        ({"node_condition": True}, GateState.CLOSED, "n1", True),
        ({"node_condition": True}, GateState.OPEN, "n1", False),
    ],
)
async def test_a_node_that_takes_no_pods_yet_is_gated(api, tmp_path, flags, state, node, is_gated):  # noqa: PLR0917
    """A new list does not make nodes gated that take pods; one that cannot be read may be new."""
    api.objects.set_taints("n1", [{"key": "warm", "effect": "NoSchedule"}])
    gate = prepare_gate(
        FetchFlags(**flags), IMAGES, read=pytest.fail, notices=Notices(), emit=Emitter(), problems=Problems()
    )
    gate.gate.state = state
    start = msgspec.structs.replace(prepared(api, tmp_path, [], node=node), gate=gate)

    assert is_gated is (await start.find_node()).is_gated


async def test_an_api_server_that_hangs_does_not_delay_the_start_for_long(api, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "API_LIMIT", 1)
    api.fail(Failure(how=STALL), Failure(how=STALL))
    told: list[Event] = []
    start = prepared(api, tmp_path, told)

    assert (NodeFacts(), 600) == (await start.find_node(), await start.find_spread())
    assert "no answer in 1s" in told[0].message
