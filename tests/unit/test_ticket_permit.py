"""What the first pull of a run waits for, from the flags to the requests, on virtual time."""

from collections.abc import AsyncIterator

import pytest
import trio

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.start import FALLBACK_SPREAD, PreparedStart, prepare_start
from nodeprefetch.emitter import Emitter, Notices
from nodeprefetch.errors import UsageError
from nodeprefetch.events import Event, RunEnd, StartAllowed, StartDelayed
from nodeprefetch.kube import Kube, NotInClusterError
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.testing import FakeImageService, FakeRun, Hang
from nodeprefetch.tickets.messages import TicketRequest, TicketState
from nodeprefetch.tickets.office import RESTART_GRACE
from nodeprefetch.tickets.permit import NodeFacts, SpreadPermit, TicketPermit
from nodeprefetch.tickets.spread import place
from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from tests.support.ticket_desk import TicketDesk

ENVIRONMENT = Environment(node_name="n1", instance_name="web")
IMAGES = (ImageRef.parse("a:1"), ImageRef.parse("b:1"))
IMAGE = "sha256:" + "1" * 64


async def nowhere() -> Kube:
    raise NotInClusterError("not running in a cluster")


def prepared(**flags: object) -> PreparedStart:
    return prepare_start(
        FetchFlags(**flags),  # type: ignore[arg-type]
        ENVIRONMENT,
        IMAGES,
        connect=nowhere,
        notices=Notices(),
        emit=Emitter(),
    )


def ticket_permit(desk: TicketDesk, zone: str = "", *, is_gated: bool = False) -> TicketPermit:
    async def find_node() -> NodeFacts:
        return NodeFacts(zone=zone, is_gated=is_gated)

    async def find_spread() -> float:
        return 600

    return TicketPermit(
        desk.ask,
        TicketRequest(node="n1", run_id="", state=TicketState.WAITING, instance="web", list_digest="abc"),
        find_node=find_node,
        patience=120,
        spread=find_spread,
        on_delay=lambda _: None,
        jitter=lambda: 0,
    )


def states(desk: TicketDesk) -> list[tuple[float, str]]:
    return [(at, str(request.state)) for at, request in desk.asked]


@pytest.mark.parametrize("is_gated", [True, False])
async def test_requests_say_whether_the_node_takes_no_pods_yet(autojump_clock, is_gated):
    desk = TicketDesk(limit=lambda: 1)
    service = FakeImageService(pulls={"a:1": [Hang(25, then=IMAGE)]})
    run = FakeRun(service=service, permit=ticket_permit(desk, is_gated=is_gated))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        await run.fetch("a:1")
        nursery.cancel_scope.cancel()

    assert {is_gated} == {request.is_gated for _, request in desk.asked}


async def test_a_run_waits_for_its_ticket_renews_it_and_gives_it_back(autojump_clock):
    """The office opens after 12 s, the pull takes 25 s."""
    desk = TicketDesk(limit=lambda: 1)
    service = FakeImageService(pulls={"a:1": [Hang(25, then=IMAGE)]})
    run = FakeRun(service=service, permit=ticket_permit(desk, zone="z1"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        await run.fetch("a:1")
        nursery.cancel_scope.cancel()

    assert [(0, "waiting"), (1, "waiting"), (22, "pulling"), (32, "pulling"), (37, "done")] == states(desk)
    requests = [request for _, request in desk.asked]
    assert {("n1", "web", "abc", "z1")} == {(one.node, one.instance, one.list_digest, one.zone) for one in requests}
    assert {run.events[0].run_id} == {one.run_id for one in requests}
    assert requests[-1].is_warm
    assert [RESTART_GRACE] == service.call_times
    assert [(RESTART_GRACE, True)] == [(event.after, event.has_ticket) for event in run.told(StartAllowed)]


async def test_a_run_with_all_images_present_only_says_that_it_is_warm(autojump_clock):
    """Its zone is not worth a call of the API server."""
    desk = TicketDesk(limit=lambda: 0)
    service = FakeImageService(images=[ImageRecord(id=IMAGE, repo_tags=("docker.io/library/a:1",))])

    await FakeRun(service=service, permit=ticket_permit(desk, zone="z1")).fetch("a:1")

    assert [("done", True, "")] == [(str(one.state), one.is_warm, one.zone) for _, one in desk.asked]


async def test_a_run_stopped_while_it_waits_leaves_the_queue(autojump_clock):
    desk = TicketDesk(limit=lambda: 0)

    async def signals() -> AsyncIterator[int]:
        await trio.sleep(40)
        yield 15

    run = FakeRun(service=FakeImageService(), permit=ticket_permit(desk), signals=signals())
    report = await run.fetch("a:1")

    assert (RunEnd.STOPPED, 40) == (report.end, trio.current_time())
    assert (40, "done") == states(desk)[-1]
    assert {} == desk.office.counts(now=40)


async def test_a_run_without_an_aggregator_ends_two_seconds_later_at_most(autojump_clock):
    """It starts at its place in the spread, after two minutes of silence."""
    desk = TicketDesk(limit=lambda: 1)
    desk.go_away()
    service = FakeImageService(pulls={"a:1": [Hang(25, then=IMAGE)]})
    run = FakeRun(service=service, permit=ticket_permit(desk))

    await run.fetch("a:1")

    start = 120 + 600 * place("web", "n1")
    assert [pytest.approx(start)] == service.call_times
    assert pytest.approx(start + 25 + 2) == trio.current_time()
    assert [False] == [event.has_ticket for event in run.told(StartAllowed)]


async def test_the_spread_alone_starts_each_node_at_its_place(autojump_clock):
    events: list[Event] = []
    start = prepared(spread="10m")
    start.emit.add(events.append)  # type: ignore[attr-defined]
    service = FakeImageService(pulls={"a:1": [IMAGE]})

    async with start.open() as permit:
        assert isinstance(permit, SpreadPermit)
        run = FakeRun(service=service, permit=permit)
        await run.fetch("a:1")

    delay = 600 * place("web", "n1")
    assert [pytest.approx(delay)] == service.call_times
    assert [pytest.approx(delay)] == [event.starts_in for event in events if isinstance(event, StartDelayed)]


async def test_the_flags_default_to_the_metrics_endpoint_and_ten_minutes():
    start = prepared(tickets=True, metrics_endpoint="metrics:8443")

    assert "http://metrics:8443" == str(start.destination and start.destination.endpoint)
    assert (120, FALLBACK_SPREAD) == (start.patience, await start.find_spread())
    assert list_digest(IMAGES) == list_digest(start.images)


async def test_an_endpoint_of_its_own_asks_for_tickets_too():
    start = prepared(ticket_endpoint="https://tickets", metrics_endpoint="metrics:8443", ticket_wait="0", spread="1h")

    assert "https://tickets:443" == str(start.destination and start.destination.endpoint)
    assert (0, 3600) == (start.patience, await start.find_spread())


async def test_outside_of_a_cluster_auto_is_ten_minutes_and_says_why(tmp_path):
    told: list[Event] = []
    start = prepared(spread="auto", registry_rate="700/s")
    start.notices.pass_to(told.append)

    assert 600 == await start.find_spread()
    assert ["--spread auto: cannot read the number of nodes, using 10m"] == [
        event.message.partition(": cannot read the pod's")[0] for event in told
    ]
    assert NodeFacts() == await start.find_node()


def test_all_problems_are_reported_at_once():
    with pytest.raises(UsageError) as error:
        prepared(tickets=True, ticket_wait="x", spread="auto")

    assert (
        "--tickets requires --ticket-endpoint or --metrics-endpoint",
        "--spread auto requires --registry-rate, e.g. 44000/m",
        "--ticket-wait: invalid duration 'x': unknown unit 'x' (use h, m, s, ms, µs or ns)",
    ) == error.value.problems


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"spread": "1x"}, "--spread: invalid duration"),
        ({"spread": "auto", "registry_rate": "7"}, "--registry-rate: invalid rate '7'"),
        ({"registry_rate": "7/s"}, "--registry-rate requires --spread auto"),
        ({"ticket_endpoint": "nowhere"}, "invalid aggregator address"),
    ],
)
def test_an_invalid_value_names_its_flag(flags, problem):
    with pytest.raises(UsageError, match=problem):
        prepared(**flags)
