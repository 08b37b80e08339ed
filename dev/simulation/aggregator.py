"""The aggregator of a simulation: the product's desk for tickets, asked by nodes on virtual time. It may be killed."""

import trio

from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.tickets.desk import OpenRequest, TicketDesk
from nodeprefetch.aggregator.tickets.limits import PullingNodes
from nodeprefetch.tickets.client import NoAnswerError
from nodeprefetch.tickets.messages import TicketReply, TicketRequest
from simulation.scenario import Scenario


class Aggregator:
    """Answers requests for tickets, without delay.

    Args:
        scenario: has the limit and its growth.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._desk: TicketDesk | None = None
        self._life = trio.CancelScope()
        self._open: set[trio.Event] = set()
        self.requests = 0

    async def ask(self, request: TicketRequest) -> TicketReply:
        """Answer a request.

        Raises:
            NoAnswerError: it is away, or goes away meanwhile.
        """
        self.requests += 1
        if self._desk is None:
            raise NoAnswerError("connection refused")
        reply = self._desk.ask(request)
        if isinstance(reply, TicketReply):
            return reply
        return await self._wait(reply)

    async def run(self) -> None:
        """Live once: from now until `kill`, or until cancelled. Nothing is remembered from an earlier life."""
        scenario = self._scenario
        bounds = Bounds(ticket_nodes=2 * scenario.nodes)
        self._desk = desk = TicketDesk(PullingNodes(scenario.pulling_nodes, None), scenario.growth, bounds)
        with trio.CancelScope() as self._life:
            await desk.run()

    def kill(self) -> None:
        """Break all open requests, and refuse new ones."""
        self._desk = None
        self._life.cancel()
        for over in self._open:
            over.set()

    async def _wait(self, opened: OpenRequest) -> TicketReply:
        over = trio.Event()
        opened.when_answered(lambda _: over.set())
        self._open.add(over)
        try:
            await over.wait()
        except trio.Cancelled:
            opened.leave()
            raise
        finally:
            self._open.discard(over)
        if opened.reply is None:
            raise NoAnswerError("connection reset by peer")
        return opened.reply
