"""The aggregator's open requests for tickets, on virtual time."""

from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import pytest
import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.tickets.desk import MAX_WAIT, OpenRequest, TicketDesk
from nodeprefetch.aggregator.tickets.limits import PullingNodes
from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.messages import LOST_AFTER, TicketReply
from nodeprefetch.tickets.office import RESTART_GRACE
from nodeprefetch.tickets.spread import place
from tests.support.ticket_requests import done, pulling, waiting


def by_place(node):
    return place("web", node)


NODES = sorted((f"node-{number}" for number in range(9)), key=by_place)
BEFORE_ALL = next(node for number in count(9) if by_place(node := f"node-{number}") < by_place(NODES[0]))


class Nodes:
    """They ask at a desk."""

    def __init__(self, desk):
        self.desk = desk
        self.granted = {}
        """Seconds from the desk's opening until the ticket, by node."""

        self.others = {}
        """Other replies, with their times, by node."""

        self._opened = trio.current_time()

    def ask(self, *requests):
        """Returns what the desk says to the last at once."""
        for request in requests:
            answer = self.desk.ask(request)
            if isinstance(answer, OpenRequest):
                answer.when_answered(partial(self._note, request.node))
            else:
                self._note(request.node, answer)
        return answer

    def _note(self, node, reply):
        seconds = trio.current_time() - self._opened
        if reply.granted:
            self.granted[node] = seconds
        else:
            self.others[node] = (seconds, reply)


@asynccontextmanager
async def opened(limits=None, **bounds):
    async with trio.open_nursery() as nursery:
        desk = TicketDesk(limits or PullingNodes(1, None), Growth.FIXED, Bounds(**bounds))
        nursery.start_soon(desk.run)
        yield Nodes(desk)
        nursery.cancel_scope.cancel()


async def test_the_first_ticket_is_given_once_those_that_pull_could_say_so(autojump_clock):
    async with opened() as nodes:
        nodes.ask(*map(waiting, NODES))
        await trio.sleep(RESTART_GRACE + 1)

        assert {NODES[0]: RESTART_GRACE} == nodes.granted


async def test_a_ticket_that_is_given_back_goes_to_the_next_at_once(autojump_clock):
    async with opened() as nodes:
        nodes.ask(*map(waiting, NODES))
        await trio.sleep(15)
        nodes.ask(done(NODES[0]))

        assert {NODES[0]: RESTART_GRACE, NODES[1]: 15} == nodes.granted


async def test_a_ticket_of_a_silent_node_goes_to_the_next(autojump_clock):
    async with opened() as nodes:
        nodes.ask(waiting("silent"))
        await trio.sleep(RESTART_GRACE + LOST_AFTER - 5)
        nodes.ask(waiting("next"))
        await trio.sleep(6)

        assert {"silent": RESTART_GRACE, "next": RESTART_GRACE + LOST_AFTER} == nodes.granted
        assert 1 == nodes.desk.lost


@pytest.mark.parametrize(("wait", "longest"), [(3, 3), (1000, MAX_WAIT)])
async def test_a_request_ends_within_the_last_fifth_of_its_time(autojump_clock, wait, longest):
    """At its place, so that nodes that asked together do not ask together again."""
    async with opened(PullingNodes(0, None)) as nodes:
        await trio.testing.wait_all_tasks_blocked()  # the desk sleeps already
        nodes.ask(waiting("long", wait=1000))
        nodes.ask(waiting("a", wait=wait))
        await trio.sleep(30)

        seconds, reply = nodes.others["a"]
        assert TicketReply(ask_again=0, limit=0) == reply
        assert (1 - 0.2 * by_place("a")) * longest == pytest.approx(seconds)
        assert 0 == nodes.desk.open


async def test_a_node_that_hangs_up_gets_no_ticket(autojump_clock):
    async with opened() as nodes:
        opened_request = nodes.ask(waiting(NODES[0]))
        nodes.ask(waiting(NODES[1]))
        opened_request.leave()
        await trio.sleep(RESTART_GRACE + 1)

        assert {NODES[1]: RESTART_GRACE} == nodes.granted
        assert 0 == nodes.desk.open


async def test_a_node_may_hang_up_while_others_are_answered(autojump_clock):
    """Both are due in the same step."""
    async with opened(PullingNodes(0, None)) as nodes:
        first, second = (nodes.ask(waiting(node, wait=0.01)) for node in NODES[:2])
        first.when_answered(lambda _: second.leave())
        second.when_answered(lambda _: first.leave())
        await trio.sleep(1)

        assert 0 == nodes.desk.open


async def test_a_second_request_of_a_node_ends_the_first(autojump_clock):
    """As when its connection broke unseen. The first is told to ask later, in case it is another pod's."""
    async with opened() as nodes:
        nodes.ask(waiting("a"))
        nodes.ask(waiting("a", run="2"))

        assert {"a": (0, TicketReply(ask_again=5, limit=1))} == nodes.others
        await trio.sleep(RESTART_GRACE + 1)
        assert {"a": RESTART_GRACE} == nodes.granted


async def test_a_stop_answers_all_at_once_and_keeps_no_other_open(autojump_clock):
    async with opened() as nodes:
        nodes.ask(*map(waiting, NODES))
        nodes.desk.stop()
        nodes.ask(waiting("late"))

        assert {*NODES, "late"} == set(nodes.others)
        assert all(reply.ask_again > 0 for _, reply in nodes.others.values())
        assert 0 == nodes.desk.open


async def test_of_too_many_open_requests_the_last_in_the_queue_is_told_to_ask_again(autojump_clock):
    """Of 22 connections 9 may have open requests."""
    async with opened(connections=22) as nodes:
        nodes.ask(*map(waiting, NODES))
        nodes.ask(waiting(BEFORE_ALL))

        assert {NODES[-1]: 9} == {node: reply.position for node, (_, reply) in nodes.others.items()}
        assert 9 == nodes.desk.open


@pytest.mark.parametrize(
    ("bounds", "reason"), [({"ticket_nodes": 3}, "too_many_nodes"), ({"instances": 1}, "too_many_instances")]
)
async def test_nodes_and_instances_are_bounded(autojump_clock, bounds, reason):
    """Those that are known go on."""
    async with opened(**bounds) as nodes:
        nodes.ask(pulling("a"), done("b"), waiting("c"))

        with pytest.raises(RefusedError) as caught:
            nodes.desk.ask(waiting("d", instance="other"))
        assert (429, reason) == (caught.value.status, caught.value.reason)
        assert nodes.desk.ask(pulling("b")).granted


async def test_a_limit_that_is_raised_answers_open_requests(autojump_clock, tmp_path):
    """The file changes at 15 s, half of the time between two looks after the first."""
    file = tmp_path / "limits"
    file.write_text("* 1")
    limits = PullingNodes(None, file)
    said = []
    async with opened(limits) as nodes, trio.open_nursery() as nursery:
        nursery.start_soon(limits.follow, nodes.desk.settle, said.append)
        nodes.ask(*(waiting(node, wait=25) for node in NODES))
        await trio.sleep(15)
        file.write_text("* 2")
        await trio.sleep(6)
        nursery.cancel_scope.cancel()

    assert {NODES[0]: RESTART_GRACE, NODES[1]: 20} == nodes.granted
    assert ["nodes that may pull at the same time: * 2"] == said
