"""Tickets: who may pull, in which order, and what is forgotten."""

import math
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.messages import LOST_AFTER, RENEW_INTERVAL, TicketReply, TicketRequest
from nodeprefetch.tickets.office import MAX_HELD, RESTART_GRACE, TicketOffice
from nodeprefetch.tickets.spread import place, spread_needed
from tests.support.ticket_requests import done, pulling, waiting

NODES = [f"node-{number}" for number in range(20)]
BY_PLACE = sorted(NODES, key=lambda node: place("web", node))
OPEN = RESTART_GRACE


def office(limit: int | None = 2, growth: Growth = Growth.FIXED, max_held: int = MAX_HELD) -> TicketOffice:
    return TicketOffice(lambda _: limit, growth=growth, started=0, max_held=max_held)


def ask_all(tickets: TicketOffice, nodes: Iterable[str], now: float) -> list[str]:
    """All nodes ask. Returns those that get a ticket at once."""
    replies = {node: tickets.ask(waiting(node), now=now) for node in nodes}
    return [node for node, reply in replies.items() if reply is not None and reply.granted]


def granted(tickets: TicketOffice, now: float) -> list[str]:
    return [request.node for request, reply in tickets.grants(now=now) if reply.granted]


def test_as_many_nodes_pull_as_the_limit_says_in_the_order_of_their_places():
    tickets = office(limit=2)
    ask_all(tickets, NODES, now=0)

    first = granted(tickets, now=OPEN)
    tickets.ask(done(first[0]), now=OPEN + 1)

    assert BY_PLACE[:2] == first
    assert BY_PLACE[2:3] == granted(tickets, now=OPEN + 1)


def test_without_a_limit_nobody_waits():
    assert NODES == ask_all(office(limit=None), NODES, now=0)


def test_a_limit_of_zero_stops_everybody():
    tickets = office(limit=0, growth=Growth.DOUBLING)
    tickets.ask(done("warm"), now=OPEN)

    ask_all(tickets, NODES, now=OPEN)

    assert [] == granted(tickets, now=OPEN)


def test_nodes_that_take_no_pods_yet_come_first():
    tickets = office(limit=1)
    ask_all(tickets, BY_PLACE[:3], now=0)
    tickets.ask(waiting(BY_PLACE[-1], gated=True), now=0)

    assert BY_PLACE[-1:] == granted(tickets, now=OPEN)


def test_after_a_start_nothing_is_given_before_those_that_pull_could_say_so():
    """Two of two say that they pull: the first ticket is free when one of them is done."""
    tickets = office(limit=2)
    tickets.ask(waiting("new"), now=1)
    tickets.ask(pulling("old-1"), now=2)
    tickets.ask(pulling("old-2"), now=RENEW_INTERVAL)

    before, opens_at = granted(tickets, now=OPEN - 0.1), tickets.next_change(now=OPEN - 0.1)
    at_opening = granted(tickets, now=OPEN)
    tickets.ask(done("old-1"), now=OPEN + 1)

    assert ([], OPEN, []) == (before, opens_at, at_opening)
    assert ["new"] == granted(tickets, now=OPEN + 1)


def test_a_silent_node_loses_its_ticket():
    tickets = office(limit=1)
    ask_all(tickets, ["lost"], now=OPEN)
    granted(tickets, now=OPEN)
    tickets.ask(waiting("next"), now=OPEN + 1)

    lost_at = tickets.next_change(now=OPEN + 1)

    assert OPEN + LOST_AFTER == lost_at
    assert [] == granted(tickets, now=lost_at - 0.1)
    assert ["next"] == granted(tickets, now=lost_at + 1)
    assert 1 == tickets.lost


def test_a_renewed_ticket_is_kept():
    tickets = office(limit=1)
    ask_all(tickets, ["a"], now=OPEN)
    for now in range(int(OPEN), 200, int(RENEW_INTERVAL)):
        tickets.ask(pulling("a"), now=now)
    tickets.ask(waiting("b"), now=200)

    assert [] == granted(tickets, now=200)


def test_a_repeated_request_gets_the_same_ticket():
    """The answer was lost on its way."""
    tickets = office(limit=1)
    ask_all(tickets, ["a"], now=OPEN)

    assert ["a"] == ask_all(tickets, ["a"], now=OPEN + 5)
    assert 1 == tickets.counts(now=OPEN + 5)["web"].pulling


def test_a_late_word_of_an_earlier_run_does_not_give_back_the_ticket_of_the_next():
    tickets = office(limit=1)
    tickets.ask(pulling("a", run="2"), now=OPEN)

    tickets.ask(done("a", run="1"), now=OPEN + 1)

    assert 1 == tickets.counts(now=OPEN + 1)["web"].pulling


def test_a_late_word_of_an_earlier_run_does_not_take_the_next_out_of_the_queue():
    tickets = office(limit=1)
    tickets.ask(waiting("a", run="2"), now=0)

    tickets.ask(done("a", run="1"), now=1)

    assert ["a"] == granted(tickets, now=OPEN)


def test_tickets_are_counted():
    """Three are given, of which one is lost: the node that repeats its request has one, not two."""
    tickets = office(limit=2)
    ask_all(tickets, ["a", "b", "b"], now=OPEN)
    tickets.ask(done("a"), now=OPEN + 1)
    tickets.ask(waiting("c"), now=OPEN + 1)
    tickets.ask(done("c"), now=OPEN + 2)
    tickets.counts(now=OPEN + LOST_AFTER)

    assert (3, 1) == (tickets.given, tickets.lost)


def test_with_doubling_as_many_pull_as_are_warm():
    """1 seed, then 1 beside 1 warm node, then 2, 4, 8."""
    tickets = office(limit=1, growth=Growth.DOUBLING)
    ask_all(tickets, NODES, now=0)
    waves = []
    for wave in range(5):
        nodes = granted(tickets, now=OPEN + wave)
        for node in nodes:
            tickets.ask(done(node), now=OPEN + wave)
        waves.append(len(nodes))

    assert [1, 1, 2, 4, 8] == waves


def test_nodes_with_another_list_do_not_let_others_pull():
    """Ten nodes are warm for the old list: one node may pull the new list, and another one that is late the old one."""
    tickets = office(limit=1, growth=Growth.DOUBLING)
    for node in BY_PLACE[:10]:
        tickets.ask(done(node), now=0)
    for node in BY_PLACE[10:15]:
        tickets.ask(msgspec.structs.replace(waiting(node), list_digest="new"), now=0)
    tickets.ask(waiting(BY_PLACE[15]), now=0)

    assert [BY_PLACE[10], BY_PLACE[15]] == granted(tickets, now=OPEN)


def test_a_node_that_asks_again_is_not_warm_any_more():
    tickets = office(limit=1)
    tickets.ask(done("a"), now=0)
    before = tickets.counts(now=0)["web"]
    tickets.ask(waiting("a"), now=0)

    assert (1, 0) == (before.warm, tickets.counts(now=0)["web"].warm)
    assert 1 == tickets.known


def test_with_doubling_the_first_node_of_each_zone_comes_first():
    tickets = office(limit=3, growth=Growth.DOUBLING)
    zones = dict(zip(BY_PLACE, "aaaabc" + "a" * 14, strict=True))
    for node in NODES:
        tickets.ask(waiting(node, zone=zones[node]), now=0)

    assert ["a", "b", "c"] == [zones[node] for node in granted(tickets, now=OPEN)]


def test_a_warm_node_that_says_so_again_without_its_zone_serves_it_still():
    """Of the two zones, the one without a warm node comes first."""
    tickets = office(limit=1, growth=Growth.DOUBLING)
    tickets.ask(done("warm", zone="a"), now=0)
    tickets.ask(done("warm"), now=1)
    first, second = BY_PLACE[:2]
    tickets.ask(waiting(first, zone="a"), now=2)
    tickets.ask(waiting(second, zone="b"), now=2)

    assert [second] == granted(tickets, now=OPEN)


def test_a_request_that_ended_gets_no_ticket():
    tickets = office(limit=1)
    request = waiting("a")
    tickets.ask(request, now=0)

    reply = tickets.leave(request, now=OPEN - 1)

    assert TicketReply(granted=False, ask_again=0, limit=1) == reply
    assert [] == granted(tickets, now=OPEN)


def test_nodes_far_back_in_the_queue_are_told_when_to_ask_again():
    """With one at a time, 5 s each: the node in place 3 expects to wait for 20 s, and asks in 10."""
    tickets = office(limit=1, max_held=3)
    replies = [tickets.ask(waiting(node), now=0) for node in BY_PLACE[:4]]

    assert [None, None, None, TicketReply(ask_again=10, position=3, limit=1)] == replies


@pytest.mark.parametrize(
    ("nodes", "limit", "held"),
    [(1000, 1, 1000), (2200, 1, 900), (12_000, 1, 200), (12_000, 60, 240), (12_000, 500, 1000)],
)
def test_the_more_nodes_wait_the_fewer_requests_are_open(nodes, limit, held):
    """One less for each dozen beyond 1,000, but at least 200, and four for each node that may pull."""
    tickets = office(limit=limit)
    for number in range(nodes):
        tickets.ask(waiting(f"node-{number}"), now=0)
        list(tickets.grants(now=0))

    assert held == tickets.held


def test_a_node_far_back_asks_again_after_five_minutes_at_the_latest():
    """One at a time, 5 s each: the last of 300 waits for 25 minutes."""
    tickets = office(limit=1, max_held=100)
    nodes = sorted((f"node-{number}" for number in range(300)), key=lambda node: place("", node))

    assert 300 == [tickets.ask(waiting(node), now=0) for node in nodes][-1].ask_again


def test_whoever_comes_first_takes_the_place_of_the_last_whose_request_is_open():
    """Otherwise nodes that ask in the wrong order would hold any number of connections."""
    tickets = office(limit=1, max_held=3)
    last_come_first = BY_PLACE[3::-1]
    replies = [tickets.ask(waiting(node), now=0) for node in last_come_first]
    sent_away = [(request.node, reply) for request, reply in tickets.grants(now=0)]

    assert [None] * 4 == replies
    assert [(BY_PLACE[3], TicketReply(ask_again=10, position=3, limit=1))] == sent_away
    assert BY_PLACE[:1] == granted(tickets, now=OPEN)


def test_instances_share_the_open_requests():
    """Four requests for two instances: two each."""
    tickets = office(limit=1, max_held=4)
    for node in BY_PLACE[:4]:
        tickets.ask(waiting(node), now=0)
    tickets.ask(msgspec.structs.replace(waiting("other"), instance="db"), now=0)

    assert BY_PLACE[3:1:-1] == [request.node for request, reply in tickets.grants(now=0) if not reply.granted]


def test_a_limit_that_is_raised_gives_tickets_at_once():
    limits = [1]
    tickets = TicketOffice(lambda _: limits[0], growth=Growth.FIXED, started=0)
    ask_all(tickets, NODES, now=0)
    granted(tickets, now=OPEN)

    limits[0] = 3
    raised = granted(tickets, now=OPEN)
    limits[0] = None

    assert BY_PLACE[1:3] == raised
    assert BY_PLACE[3:] == granted(tickets, now=OPEN)


def test_a_limit_that_is_lowered_holds_once_enough_have_ended():
    limits = [3]
    tickets = TicketOffice(lambda _: limits[0], growth=Growth.FIXED, started=0)
    ask_all(tickets, NODES, now=0)
    granted(tickets, now=OPEN)

    limits[0] = 1
    given = []
    for node in BY_PLACE[:3]:
        tickets.ask(done(node), now=OPEN + 1)
        given.append(granted(tickets, now=OPEN + 1))

    assert [[], [], BY_PLACE[3:4]] == given


def test_a_node_that_stopped_asking_is_forgotten():
    tickets = office(limit=1)
    tickets.ask(waiting("a", wait=0), now=0)

    assert 1 == tickets.known
    assert 0 == tickets.counts(now=200)["web"].waiting
    assert not tickets.knows(waiting("a"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(NODES[:8]),
        st.sampled_from(["ask", "renew", "done", "failed", "leave"]),
        st.floats(min_value=0, max_value=40),
    ),
    max_size=60,
)


@given(limit=st.integers(0, 4), growth=st.sampled_from(Growth), steps=STEPS)
@settings(max_examples=200)
def test_no_ticket_is_given_beyond_what_is_allowed(limit, growth, steps):
    """Whatever happens; and at the end everybody who asks is served, unless the limit is 0."""
    tickets = office(limit=limit, growth=growth)
    now, open_requests, holders = OPEN, dict[str, TicketRequest](), set[str]()

    def check_grants() -> None:
        for request, reply in tickets.grants(now=now):
            assert reply.pulling <= max(limit, tickets.counts(now=now)["web"].warm if limit else 0)
            assert request is open_requests.pop(request.node)
            holders.add(request.node)

    for node, what, pause in steps:
        now += pause
        if what == "ask" and node not in open_requests:
            request = waiting(node)
            reply = tickets.ask(request, now=now)
            if reply is None:
                open_requests[node] = request
            else:
                assert reply.granted
                holders.add(node)
        elif what == "leave" and node in open_requests:
            tickets.leave(open_requests.pop(node), now=now)
        elif what == "renew" and node in holders and tickets.knows(pulling(node)):
            tickets.ask(pulling(node), now=now)
        elif what in {"done", "failed"} and node not in open_requests:
            holders.discard(node)
            tickets.ask(done(node, warm=what == "done"), now=now)
        check_grants()
        assert math.isinf(tickets.next_change(now=now)) or tickets.next_change(now=now) > now - LOST_AFTER
    while limit and open_requests:
        now += LOST_AFTER + 1
        check_grants()


def test_places_are_even():
    """Of 10,000 nodes, each tenth of the time gets a tenth of the nodes, within a tenth of that."""
    tenths = [int(place("web", f"ip-10-0-{n // 256}-{n % 256}.compute.internal") * 10) for n in range(10_000)]

    assert all(900 <= tenths.count(tenth) <= 1100 for tenth in range(10))


def test_the_spread_keeps_a_registrys_rate():
    """1,000 nodes with 40 images of ten layers, 44,000 requests per minute: 11.8 min."""
    assert 709 == round(spread_needed(images=40, nodes=1000, rate=44_000 / 60))
