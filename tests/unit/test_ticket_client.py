"""A node's side of tickets, with the office of an aggregator, on virtual time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
import trio

from nodeprefetch.tickets.client import (
    ANSWER_LIMIT,
    FIRST_POLL,
    GIVE_BACK_LIMIT,
    LONGEST_PAUSE,
    POLL,
    Ask,
    NoAnswerError,
    StartDelay,
    Ticket,
)
from nodeprefetch.tickets.messages import LOST_AFTER, RENEW_INTERVAL, TicketReply, TicketRequest, TicketState
from nodeprefetch.tickets.office import RESTART_GRACE
from nodeprefetch.tickets.spread import place
from tests.support.ticket_desk import TicketDesk

NODES = sorted((f"node-{number}" for number in range(20)), key=lambda node: place("web", node))
"""In the order of their places."""

PATIENCE, SPREAD = 120.0, 600.0
OPEN = RESTART_GRACE


def about(node: str) -> TicketRequest:
    return TicketRequest(node=node, run_id=f"run of {node}", state=TicketState.WAITING, instance="web")


def ticket(ask: Ask, node: str = "node-0", told: list[StartDelay] | None = None, jitter: float = 0) -> Ticket:
    on_delay = [].append if told is None else told.append
    return Ticket(ask, about(node), patience=PATIENCE, spread=SPREAD, jitter=lambda: jitter, on_delay=on_delay)


def spread_start(node: str) -> float:
    """When it starts without any answer, from when it began to wait."""
    return PATIENCE + SPREAD * place("web", node)


@asynccontextmanager
async def desk(limit: int | None) -> AsyncIterator[TicketDesk]:
    async with trio.open_nursery() as nursery:
        made = TicketDesk(limit=lambda: limit)
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


@dataclass(kw_only=True)
class Fleet:
    """Nodes that pull for `duration` seconds each."""

    ask: Ask
    duration: float
    started: dict[str, float] = field(default_factory=dict)
    pulling: set[str] = field(default_factory=set)
    most: int = 0
    """How many have pulled at once."""

    async def run(self, nodes: Sequence[str]) -> None:
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(self.node, node)

    async def node(self, name: str) -> None:
        own = ticket(self.ask, name)
        await own.obtain()
        self.started[name] = trio.current_time()
        self.pulling.add(name)
        self.most = max(self.most, len(self.pulling))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(own.keep)
            await trio.sleep(self.duration)
            nursery.cancel_scope.cancel()
        self.pulling.remove(name)
        await own.give_back(is_warm=True)


def answers(*replies: TicketReply | Exception | None) -> tuple[Ask, list[tuple[float, TicketRequest]]]:
    """An aggregator that gives these answers in turn, the last one for ever. None: it never answers."""
    asked: list[tuple[float, TicketRequest]] = []

    async def ask(request: TicketRequest) -> TicketReply:
        reply = replies[min(len(asked), len(replies) - 1)]
        asked.append((trio.current_time(), request))
        if reply is None:
            await trio.sleep_forever()
        if isinstance(reply, Exception):
            raise reply
        return reply

    return ask, asked


AWAY = NoAnswerError("nobody listens")
WAIT = TicketReply(granted=False, ask_again=20, position=17, pulling=10, limit=10)
GRANTED = TicketReply(granted=True)


async def test_two_of_twenty_nodes_pull_at_once_in_the_order_of_their_places(autojump_clock):
    """The office opens after 12 s; each pair pulls for 50 s: the last one starts at 12 + 9 * 50."""
    async with desk(2) as office:
        fleet = Fleet(ask=office.ask, duration=50)
        await fleet.run(NODES)

    assert [OPEN + 50 * (number // 2) for number in range(20)] == [fleet.started[node] for node in NODES]
    assert 2 == fleet.most


async def test_a_ticket_is_renewed_while_the_node_pulls(autojump_clock):
    """Longer than the minute after which a silent node loses its ticket: the second node starts when the first ends."""
    async with desk(1) as office:
        fleet = Fleet(ask=office.ask, duration=200)
        await fleet.run(NODES[:2])

    renewals = [at - OPEN for at, request in office.asked if request.state is TicketState.PULLING]
    assert OPEN + 200 == fleet.started[NODES[1]]
    assert [RENEW_INTERVAL * number for number in range(1, 20)] == renewals[:19]


async def test_the_next_node_starts_when_a_ticket_is_given_back(autojump_clock):
    async with desk(1) as office:
        first, second = ticket(office.ask, NODES[0]), ticket(office.ask, NODES[1])
        await trio.sleep(OPEN)
        assert await first.obtain()
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.obtain)
            await trio.sleep(2)
            assert await first.give_back(is_warm=False)

    assert OPEN + 3 == trio.current_time()


async def test_a_node_with_everything_only_says_that_it_is_warm(autojump_clock):
    async with desk(1) as office:
        await ticket(office.ask).give_back(is_warm=True)

        assert [(TicketState.DONE, True)] == [(request.state, request.is_warm) for _, request in office.asked]
        assert 1 == office.office.counts(now=0)["web"].warm


async def test_an_answer_that_it_must_wait_is_waited_out(autojump_clock):
    """Asked again after the 20 s that the answer says, an hour long."""
    ask, asked = answers(*[WAIT] * 180, GRANTED)

    assert await ticket(ask).obtain()

    assert 3600 == trio.current_time()
    assert [20.0 * number for number in range(181)] == [at for at, _ in asked]
    assert [FIRST_POLL] + [POLL] * 180 == [request.wait for _, request in asked]


async def test_nodes_ask_a_little_earlier_than_told_each_by_another_part(autojump_clock):
    ask, asked = answers(WAIT, GRANTED)

    await ticket(ask, jitter=1).obtain()

    assert [0, 15] == [at for at, _ in asked]


async def test_an_aggregator_that_answers_at_once_is_not_asked_more_than_once_a_second(autojump_clock):
    ask, asked = answers(*[msgspec.structs.replace(WAIT, ask_again=0)] * 3, GRANTED)

    await ticket(ask).obtain()

    assert [0, 1, 2, 3] == [at for at, _ in asked]


async def test_failed_requests_are_repeated_with_growing_pauses(autojump_clock):
    """1 + 2 + 4 + 8 + 8 s, and up to twice that."""
    ask, asked = answers(*[AWAY] * 5, GRANTED)

    assert await ticket(ask).obtain()

    assert [0, 1, 3, 7, 15, 23] == [at for at, _ in asked]


@pytest.mark.parametrize("reply", [AWAY, None])
async def test_silence_is_replaced_by_the_spread(autojump_clock, reply):
    """Two minutes, and then the node's place in ten minutes."""
    ask, asked = answers(reply)
    told: list[StartDelay] = []

    assert not await ticket(ask, "node-3", told).obtain()

    assert spread_start("node-3") == trio.current_time()
    assert [True] * len(told) == [
        delay.starts_in == pytest.approx(spread_start("node-3") - at, abs=POLL + ANSWER_LIMIT)
        for delay, (at, _) in zip(told, asked, strict=False)
    ]


async def test_nodes_without_an_answer_start_one_after_another(autojump_clock):
    ask, _ = answers(AWAY)
    fleet = Fleet(ask=ask, duration=10)

    await fleet.run(NODES)

    assert [pytest.approx(spread_start(node)) for node in NODES] == [fleet.started[node] for node in NODES]


async def test_an_answer_before_its_place_puts_the_node_back_into_the_queue(autojump_clock):
    """The aggregator answers once, shortly before the node would have started; the silence begins anew after that."""
    node = NODES[-1]
    quiet = 31 + 16 * 40  # pauses of 1, 2, 4, 8 s and then of 8 s
    ask, asked = answers(*[AWAY] * 40, WAIT, AWAY)

    await ticket(ask, node).obtain()

    answered_at = asked[40][0]
    assert PATIENCE < answered_at < quiet
    assert pytest.approx(answered_at + WAIT.ask_again + spread_start(node)) == trio.current_time()


async def test_an_aggregator_that_dies_late_causes_no_stampede(autojump_clock):
    """One of twenty pulls, the others wait for 300 s; then the aggregator is gone for good."""
    async with desk(1) as office:
        fleet = Fleet(ask=office.ask, duration=400)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fleet.run, NODES)
            await trio.sleep(300)
            office.go_away()

    assert OPEN == fleet.started[NODES[0]]
    for node in NODES[1:]:
        assert 300 - POLL <= round(fleet.started[node] - spread_start(node), 3) <= 300


async def test_after_a_restart_the_limit_holds_and_nobody_starts_too_early(autojump_clock):
    """Two of twenty at a time, 100 s each; the aggregator is away from 150 s to 200 s, and starts anew."""
    async with desk(2) as office:
        fleet = Fleet(ask=office.ask, duration=100)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fleet.run, NODES)
            await trio.sleep(150)
            office.go_away()
            await trio.sleep(50)
            office.come_back()

    assert 2 == fleet.most
    third = sorted(fleet.started.values())[4:6]
    assert [200 + RESTART_GRACE <= at <= 200 + RESTART_GRACE + 2 * LONGEST_PAUSE for at in third] == [True, True]


async def test_a_node_that_started_without_a_ticket_counts_once_the_aggregator_is_back(autojump_clock):
    """It says at once that it pulls, and again until somebody hears it."""
    async with desk(1) as office:
        office.go_away()
        own = ticket(office.ask, NODES[0])
        assert not await own.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(own.keep)
            await trio.sleep(5)
            office.come_back()
            await trio.sleep(2)
            assert 1 == office.office.counts(now=trio.current_time())["web"].pulling
            nursery.cancel_scope.cancel()


async def test_a_failed_renewal_is_repeated_soon_enough_to_keep_the_ticket(autojump_clock):
    ask, asked = answers(GRANTED, AWAY)
    own = ticket(ask, jitter=1)
    await own.obtain()

    with trio.move_on_after(LOST_AFTER):
        await own.keep()

    assert [0, 10, 12, 14, 16] == [at for at, _ in asked][:5]


@pytest.mark.parametrize("reply", [AWAY, None])
async def test_giving_back_ends_soon_also_when_nobody_answers(autojump_clock, reply):
    ask, _ = answers(reply)

    assert not await ticket(ask).give_back(is_warm=True)

    assert GIVE_BACK_LIMIT == trio.current_time()


async def test_a_cancelled_run_still_gives_its_ticket_back(autojump_clock):
    ask, asked = answers(AWAY, TicketReply())

    with trio.CancelScope() as scope:
        scope.cancel()
        assert await ticket(ask).give_back(is_warm=False)

    assert [(0, TicketState.DONE), (0.25, TicketState.DONE)] == [(at, request.state) for at, request in asked]


async def test_what_the_node_waits_for_is_reported(autojump_clock):
    told: list[StartDelay] = []
    ask, _ = answers(WAIT, AWAY, GRANTED)

    await ticket(ask, told=told).obtain()

    last = PATIENCE + SPREAD * place("web", "node-0")
    assert [
        StartDelay(reply=WAIT),
        StartDelay(starts_in=pytest.approx(last), problem="nobody listens"),
    ] == told
