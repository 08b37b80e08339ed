"""Nodes with a real aggregator: their tickets over real HTTP, also after it was killed."""

from pathlib import Path

import pytest
import trio

from nodeprefetch.aggregator.settings import AuthMode
from nodeprefetch.submit.destination import read_destination
from nodeprefetch.submit.tickets import open_tickets
from nodeprefetch.tickets import office
from nodeprefetch.tickets.client import NoAnswerError, Ticket
from nodeprefetch.tickets.messages import TicketRequest, TicketState
from nodeprefetch.tickets.spread import place
from tests.support.aggregator import aggregator_process, on_any_port, running_aggregator
from tests.support.ports import free_port

NODES = sorted((f"node-{number}" for number in range(6)), key=lambda node: place("web", node))


@pytest.fixture
def no_grace(monkeypatch):
    monkeypatch.setattr(office, "RESTART_GRACE", 0)


def ticket(ask, node: str) -> Ticket:
    about = TicketRequest(node=node, run_id="r", state=TicketState.WAITING, instance="web", list_digest="abc")
    return Ticket(ask, about, patience=3600, spread=0, jitter=lambda: 0)


async def test_as_many_nodes_pull_as_the_aggregator_allows(no_grace):
    pulling: set[str] = set()
    most: list[int] = []

    async def node(name: str, port: int) -> None:
        async with open_tickets(read_destination(f"127.0.0.1:{port}")) as tickets:
            own = ticket(tickets.ask, name)
            assert await own.obtain()
            pulling.add(name)
            most.append(len(pulling))
            await trio.sleep(0.05)
            pulling.remove(name)
            assert await own.give_back(is_warm=True)

    with running_aggregator(on_any_port(pulling_nodes=2)) as running, trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            for name in NODES:
                nursery.start_soon(node, name, running.http_port)

    assert (6, 2) == (len(most), max(most))


async def test_a_node_with_a_wrong_token_gets_the_reason(tmp_path: Path):
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(f"{name}-token")
    settings = on_any_port(auth=AuthMode.TOKEN_FILE, auth_token_file=tmp_path / "right", pulling_nodes=None)
    request = TicketRequest(node="n1", run_id="r", state=TicketState.WAITING)
    with running_aggregator(settings) as running, trio.fail_after(300):
        endpoint = f"127.0.0.1:{running.http_port}"
        async with open_tickets(read_destination(endpoint, token_file=str(tmp_path / "right"))) as tickets:
            assert (await tickets.ask(request)).granted
        async with open_tickets(read_destination(endpoint, token_file=str(tmp_path / "wrong"))) as tickets:
            with pytest.raises(NoAnswerError, match=r"HTTP status 401: .*invalid token"):
                await tickets.ask(request)


async def test_a_node_finds_an_aggregator_again_that_was_killed(tmp_path: Path):
    """Without a limit of its own, the program allows all nodes."""
    port = free_port()
    with aggregator_process(tmp_path, tmp_path / "log", port=port):
        async with open_tickets(read_destination(f"127.0.0.1:{port}")) as tickets:
            with trio.fail_after(300):
                assert await ticket(tickets.ask, "n1").obtain()
    async with open_tickets(read_destination(f"127.0.0.1:{port}")) as tickets:
        own = ticket(tickets.ask, "n1")
        assert not await own.give_back(is_warm=False)
        with aggregator_process(tmp_path, tmp_path / "log", port=port), trio.fail_after(300):
            assert await own.obtain()
            assert await own.give_back(is_warm=True)
