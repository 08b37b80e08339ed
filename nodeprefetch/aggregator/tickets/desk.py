"""Keeps requests for tickets open until the office decides, and no longer than there is somebody to answer to."""

import math
from collections.abc import Callable

import msgspec
import trio

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.tickets.limits import PullingNodes
from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.messages import LOST_AFTER, RENEW_INTERVAL, TicketReply, TicketRequest
from nodeprefetch.tickets.office import MAX_HELD, QueueCounts, TicketOffice
from nodeprefetch.tickets.spread import place

MAX_WAIT = 25.0
"""Seconds that a request is kept open, whatever it allows: proxies close connections that are silent for 30."""

_PAUSE = 0.1
"""Seconds between two looks at what the passing of time demands; each goes through all open requests."""

_EARLIER = 0.2
"""Part of their time by which requests end earlier, each by its place: nodes that asked together do not ask together
again, which would need memory for all of them at once."""

_OPEN = 0.42
"""Part of the connections that may have open requests. One address may have half of the connections, so even if all
nodes share one, some are left for results, and for nodes that say that they still pull."""

_ASK_LATER = RENEW_INTERVAL / 2
"""Seconds until a node asks again whose request ended early. It loses nothing: requests are not answered in turn."""


class OpenRequest:
    """A request of a node that waits for its answer."""

    def __init__(self, desk: "TicketDesk", request: TicketRequest, until: float) -> None:
        self.request = request
        self.until = until
        """When it is answered at the latest."""

        self.reply: TicketReply | None = None
        """The answer, once there is one."""

        self._desk = desk
        self._send: Callable[[TicketReply], None] | None = None

    def when_answered(self, send: Callable[[TicketReply], None]) -> None:
        """Have the answer sent by a function, which must not raise."""
        self._send = send
        if self.reply is not None:
            send(self.reply)

    def answer(self, reply: TicketReply) -> None:
        """Answer it."""
        self.reply = reply
        if self._send is not None:
            self._send(reply)

    def leave(self) -> None:
        """The node has gone."""
        self._desk.leave(self)


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
        self._open: dict[tuple[str, str], OpenRequest] = {}
        self._is_stopping = False
        self._woken = trio.Event()
        self._wakes_at = -math.inf

    @property
    def open(self) -> int:
        """Open requests."""
        return len(self._open)

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

    def ask(self, request: TicketRequest) -> TicketReply | OpenRequest:
        """Take in a request. Returns the answer, or an open request that is answered later.

        Raises:
            RefusedError: too many nodes or instances are known.
        """
        self._check_bounds(request)
        if (earlier := self._open.get((request.instance, request.node))) is not None:
            self._end(earlier, ask_again=_ASK_LATER)
        if self._is_stopping:
            request = msgspec.structs.replace(request, wait=0)
        reply = self._office.ask(request, now=trio.current_time())
        if reply is not None:
            self.settle()
            return reply
        wait = min(request.wait, MAX_WAIT) * (1 - _EARLIER * place(request.instance, request.node))
        opened = OpenRequest(self, request, trio.current_time() + wait)
        self._open[request.instance, request.node] = opened
        self.settle()
        if opened.until < self._wakes_at:
            self._woken.set()
        return opened

    def settle(self) -> None:
        """Answer the open requests for which there is a ticket now."""
        for request, reply in self._office.grants(now=trio.current_time()):
            self._open.pop((request.instance, request.node)).answer(reply)

    def leave(self, gone: OpenRequest) -> None:
        """Forget an open request whose node has gone."""
        if gone.reply is None:
            gone.reply = self._office.leave(gone.request, now=trio.current_time())
            del self._open[gone.request.instance, gone.request.node]

    async def run(self) -> None:
        """Do what the passing of time demands, until cancelled: answer requests, give tickets that are free."""
        while True:
            now = trio.current_time()
            ends = (opened.until for opened in self._open.values())
            next_change = min(self._office.next_change(now=now), now + LOST_AFTER, *ends)
            self._wakes_at = max(next_change, now + _PAUSE)
            self._woken = trio.Event()
            with trio.move_on_at(self._wakes_at):
                await self._woken.wait()
            now = trio.current_time()
            for opened in [opened for opened in self._open.values() if opened.until <= now]:
                if opened.reply is None:
                    self._end(opened)
                    await trio.lowlevel.checkpoint()  # the node asks again at once, and all together need memory
            self.settle()

    def stop(self) -> None:
        """Answer all open requests, and keep no others open."""
        self._is_stopping = True
        for opened in tuple(self._open.values()):
            self._end(opened, ask_again=_ASK_LATER)

    def _end(self, opened: OpenRequest, *, ask_again: float = 0) -> None:
        """Answer an open request without a ticket."""
        reply = self._office.leave(opened.request, now=trio.current_time())
        del self._open[opened.request.instance, opened.request.node]
        opened.answer(msgspec.structs.replace(reply, ask_again=ask_again))

    def _check_bounds(self, request: TicketRequest) -> None:
        office, bounds = self._office, self._bounds
        if request.instance not in office.instances and len(office.instances) >= bounds.instances:
            raise RefusedError(
                429, "too_many_instances", "too many instances ask for tickets", retry_after=bounds.retry_after
            )
        if not office.knows(request) and office.known >= bounds.ticket_nodes:
            raise RefusedError(429, "too_many_nodes", "too many nodes ask for tickets", retry_after=bounds.retry_after)
