"""An aggregator's tickets without HTTP: the real office, asked by tasks of the same process, on Trio's clock."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from nodeprefetch.tickets.client import NoAnswerError
from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.messages import TicketReply, TicketRequest
from nodeprefetch.tickets.office import TicketOffice


@dataclass(kw_only=True)
class TicketDesk:
    """Answers requests. `run` must be running."""

    limit: Callable[[], int | None]
    growth: Growth = Growth.FIXED
    asked: list[tuple[float, TicketRequest]] = field(default_factory=list)
    """All requests with their times, also those that got no answer."""

    office: TicketOffice = field(init=False)
    _open: dict[str, tuple[TicketRequest, trio.Event]] = field(default_factory=dict, init=False)
    _replies: dict[str, TicketReply] = field(default_factory=dict, init=False)
    _changed: trio.Event = field(default_factory=trio.Event, init=False)
    _is_away: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.come_back()

    def go_away(self) -> None:
        """Break all open requests, and refuse new ones."""
        self._is_away = True
        for _, event in self._open.values():
            event.set()

    def come_back(self) -> None:
        """Start anew: nothing is remembered."""
        self._is_away = False
        self.office = TicketOffice(lambda _: self.limit(), growth=self.growth, started=trio.current_time())
        self._changed.set()

    async def ask(self, request: TicketRequest) -> TicketReply:
        """Answer a request, as `nodeprefetch.tickets.client.Ask` does."""
        self.asked.append((trio.current_time(), request))
        if self._is_away:
            raise NoAnswerError("away")
        reply = self.office.ask(request, now=trio.current_time())
        if reply is not None:
            self._give()
            return reply
        event = trio.Event()
        self._open[request.node] = (request, event)
        self._give()
        try:
            with trio.move_on_after(request.wait):
                await event.wait()
        finally:
            self._open.pop(request.node)
            given = self._replies.pop(request.node, None)
            left = given or self._leave(request)
        if left is None:
            raise NoAnswerError("the connection broke")
        return left

    async def run(self) -> None:
        """Give tickets when they are lost, and after the start."""
        while True:
            self._changed = trio.Event()
            next_change = self.office.next_change(now=trio.current_time())
            with trio.move_on_at(math.inf if self._is_away else next_change):
                await self._changed.wait()
            self._give()

    def _leave(self, request: TicketRequest) -> TicketReply | None:
        return None if self._is_away else self.office.leave(request, now=trio.current_time())

    def _give(self) -> None:
        if self._is_away:
            return
        for request, reply in self.office.grants(now=trio.current_time()):
            self._replies[request.node] = reply
            self._open[request.node][1].set()
        self._changed.set()
