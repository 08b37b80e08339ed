"""Keeps requests for tickets open until the office decides, and no longer than there is somebody to answer to."""

import msgspec
import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.tickets.limits import PullingNodes
from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.messages import LOST_AFTER, RENEW_INTERVAL, TicketReply, TicketRequest
from nodeprefetch.tickets.office import MAX_HELD, QueueCounts, TicketOffice

MAX_WAIT = 25.0
"""Seconds that a request is kept open, whatever it allows: proxies close connections that are silent for 30."""

_OPEN = 0.45
"""Part of the connections that may have open requests. One address may have half of the connections; so even if all
nodes share one, some are left for results, and for nodes that say that they still pull."""

_ASK_LATER = RENEW_INTERVAL / 2
"""Seconds until a node asks again whose request ended early. It loses nothing: requests are not answered in turn."""


class _Poll:
    """An open request."""

    def __init__(self, request: TicketRequest) -> None:
        self.request = request
        self.answered = trio.Event()
        self.reply = TicketReply()

    def answer(self, reply: TicketReply) -> None:
        self.reply = reply
        self.answered.set()


class TicketDesk:
    """Answers requests for tickets.

    Args:
        limits: how many nodes may pull.
        growth: how this number develops.
        bounds: of connections, and of nodes and instances that are known.
    """

    def __init__(self, limits: PullingNodes, growth: Growth, bounds: Bounds) -> None:
        max_held = min(MAX_HELD, int(_OPEN * bounds.connections))
        self._bounds = bounds
        self._office = TicketOffice(limits.limit, growth=growth, started=trio.current_time(), max_held=max_held)
        self._polls: dict[tuple[str, str], _Poll] = {}
        self._is_stopping = False

    @property
    def open(self) -> int:
        """Open requests."""
        return len(self._polls)

    @property
    def given(self) -> int:
        """Tickets given."""
        return self._office.given

    @property
    def lost(self) -> int:
        """Tickets lost, of nodes that fell silent."""
        return self._office.lost

    def counts(self) -> dict[str, QueueCounts]:
        """How many nodes are in which state, by instance."""
        return self._office.counts(now=trio.current_time())

    async def ask(self, request: TicketRequest) -> TicketReply:
        """Return the answer to a node's request, which may take as long as the request allows.

        Raises:
            RefusedError: too many nodes or instances are known.
        """
        self._check_bounds(request)
        self._end(self._polls.get((request.instance, request.node)))
        if self._is_stopping:
            request = msgspec.structs.replace(request, wait=0)
        reply = self._office.ask(request, now=trio.current_time())
        if reply is not None:
            self.settle()
            return reply
        return await self._wait(request)

    def settle(self) -> None:
        """Answer the open requests for which there is a ticket now."""
        for request, reply in self._office.grants(now=trio.current_time()):
            self._polls[request.instance, request.node].answer(reply)

    async def run(self) -> None:
        """Give tickets that become free by the passing of time, until cancelled."""
        while True:
            now = trio.current_time()
            await trio.sleep_until(min(self._office.next_change(now=now), now + LOST_AFTER))
            self.settle()

    def stop(self) -> None:
        """Answer all open requests, and keep no others open."""
        self._is_stopping = True
        for poll in self._polls.values():
            self._end(poll)

    async def _wait(self, request: TicketRequest) -> TicketReply:
        key = (request.instance, request.node)
        poll = self._polls[key] = _Poll(request)
        self.settle()
        has_gone = True
        try:
            with trio.move_on_after(min(request.wait, MAX_WAIT)):
                await poll.answered.wait()
            has_gone = False
        finally:
            if self._polls.get(key) is poll:
                del self._polls[key]
            if has_gone or not poll.answered.is_set():
                poll.reply = self._office.leave(request, now=trio.current_time())
            if has_gone:
                self.settle()
        return poll.reply

    def _end(self, poll: _Poll | None) -> None:
        """Answer an open request early."""
        if poll is not None and not poll.answered.is_set():
            reply = self._office.leave(poll.request, now=trio.current_time())
            poll.answer(msgspec.structs.replace(reply, ask_again=_ASK_LATER))

    def _check_bounds(self, request: TicketRequest) -> None:
        office, bounds = self._office, self._bounds
        if request.instance not in office.instances and len(office.instances) >= bounds.instances:
            raise RefusedError(
                429, "too_many_instances", "too many instances ask for tickets", retry_after=bounds.retry_after
            )
        if not office.knows(request) and office.known >= bounds.ticket_nodes:
            raise RefusedError(429, "too_many_nodes", "too many nodes ask for tickets", retry_after=bounds.retry_after)
