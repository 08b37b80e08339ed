"""Gives out the tickets: decides which nodes may pull. Pure: no I/O, and time is an argument.

A node that waits keeps its request open, and only open requests get tickets: a ticket is never given to a node that is
not there to take it. The aggregator cannot hold a connection open for each node of a large cluster, so nodes far back
in the queue are told to ask again later instead. They lose nothing by it: the order is not that of arrival.

Nothing is kept over a restart. Nodes that pull say so again within `RENEW_INTERVAL`, and until they had the time to, no
ticket is given.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, KeysView
from typing import NamedTuple

from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.messages import LOST_AFTER, RENEW_INTERVAL, TicketReply, TicketRequest, TicketState
from nodeprefetch.tickets.queue import Rank, TicketQueue, Waiter
from nodeprefetch.tickets.spread import place

RESTART_GRACE = RENEW_INTERVAL + 2
"""Seconds after the start without new tickets, so that the nodes that pull can say so first."""

MAX_HELD = 1000
"""Requests kept open at the same time, those of nodes that come first."""

MIN_HELD = 200
HELD_PER_TICKET = 4
"""If more nodes wait, fewer requests are open, since each is repeated every half minute: one less for each dozen nodes,
but at least these, and these for each node that may pull. The next ones in the queue are always there."""

_FEWER_PER_WAITER = 1 / 12

MAX_ASK_AGAIN = 300.0
"""Seconds. A node far back in the queue asks again after half of the expected time, and at the latest after this: ten
thousand nodes make about forty requests per second."""


class QueueCounts(NamedTuple):
    """How many nodes of an instance are in which state."""

    pulling: int
    waiting: int
    warm: int
    """With all images of the list that they had last."""

    limit: int | None
    """None: no limit."""


class TicketOffice:
    """Decides which nodes pull.

    Args:
        limit: returns how many nodes of an instance may pull at once; None: no limit. Called whenever it matters.
        growth: how this number develops.
        started: when the aggregator started. Time is in seconds, of any clock that never goes back.
        max_held: how many requests may be open; instances share them equally.
    """

    def __init__(
        self, limit: Callable[[str], int | None], *, growth: Growth, started: float, max_held: int = MAX_HELD
    ) -> None:
        self._limit = limit
        self._growth = growth
        self._opens_at = started + RESTART_GRACE
        self._max_held = max_held
        self._queues: dict[str, TicketQueue] = {}
        self.given = 0
        """Tickets given."""

        self.lost = 0
        """Tickets of nodes that fell silent."""

    def ask(self, request: TicketRequest, *, now: float) -> TicketReply | None:
        """Take in a request. Call `grants` next.

        Returns:
            The answer; None: keep the request open until `grants` names it, or call `leave`.
        """
        queue = self._queues.setdefault(request.instance, TicketQueue())
        self.lost += queue.forget_silent(now=now)
        if request.state is not TicketState.WAITING:
            return self._take_news(queue, request, now)
        holds_one = request.node in queue.pulling
        if holds_one or self._is_free(queue, request, now):
            self.given += not holds_one
            queue.start(request, now=now)
            return self._reply(queue, request, granted=True)
        return self._enqueue(queue, request, now)

    def knows(self, request: TicketRequest) -> bool:
        """Whether the node waits, pulls or is warm: its next request takes no more memory."""
        queue = self._queues.get(request.instance)
        return queue is not None and queue.knows(request.node)

    @property
    def known(self) -> int:
        """How many nodes are known, each once for each instance."""
        return sum(map(len, self._queues.values()))

    @property
    def held(self) -> int:
        """How many requests are open."""
        return sum(len(queue.held) for queue in self._queues.values())

    @property
    def instances(self) -> KeysView[str]:
        """The instances of known nodes."""
        return self._queues.keys()

    def leave(self, request: TicketRequest, *, now: float) -> TicketReply:
        """An open request ends without a ticket: its time is over, or the node has gone. Returns the answer."""
        queue = self._queues.get(request.instance)
        if queue is None:
            return TicketReply(ask_again=0, limit=self._limit(request.instance))
        if (waiter := queue.waiting.get(request.node)) is not None and waiter.request is request:
            queue.release(waiter, until=now + LOST_AFTER)
        return self._reply(queue, request, granted=False, ask_again=0)

    def grants(self, *, now: float) -> Iterator[tuple[TicketRequest, TicketReply]]:
        """Give the tickets that are free.

        Call it after `ask`, at `next_change`, and when a limit has changed.

        Yields:
            Each open request that is over, with its answer. Most are granted. Where more requests are open than may be,
            the last in the queue are told to ask again.
        """
        for instance, queue in list(self._queues.items()):
            self.lost += queue.forget_silent(now=now)
            while (waiter := self._next(instance, queue, now)) is not None:
                queue.start(waiter.request, now=now)
                self.given += 1
                yield waiter.request, self._reply(queue, waiter.request, granted=True)
            while len(queue.held) > self._held_most(instance, queue):
                yield self._send_away(queue, queue.waiting[queue.held[-1].node], now)
            if not queue:
                del self._queues[instance]

    def next_change(self, *, now: float) -> float:
        """When `grants` may have something to give without a new request: a ticket is lost, or the office opens.

        A request that comes meanwhile can only add something `LOST_AFTER` or more later.
        """
        opening = self._opens_at if now < self._opens_at else math.inf
        return min(opening, *(queue.next_loss() for queue in self._queues.values()), math.inf)

    def counts(self, *, now: float) -> dict[str, QueueCounts]:
        """How many nodes are in which state, by instance."""
        for queue in self._queues.values():
            self.lost += queue.forget_silent(now=now)
        return {
            instance: QueueCounts(
                pulling=len(queue.pulling),
                waiting=len(queue.waiting),
                warm=len(queue.warm),
                limit=self._limit(instance),
            )
            for instance, queue in self._queues.items()
        }

    def _take_news(self, queue: TicketQueue, request: TicketRequest, now: float) -> TicketReply:
        if request.state is TicketState.PULLING:
            queue.start(request, now=now)
            return self._reply(queue, request, granted=True)
        known = queue.pulling.get(request.node) or queue.waiting.get(request.node)
        if known is None or known.request.run_id == request.run_id:  # not a late word of an earlier run
            queue.end(request, now=now)
        return self._reply(queue, request, granted=False)

    def _enqueue(self, queue: TicketQueue, request: TicketRequest, now: float) -> TicketReply | None:
        rank = Rank(not request.is_gated, place(request.instance, request.node), request.node)
        waiter = queue.enqueue(request, rank, until=math.inf)
        if request.wait > 0 and bisect_left(queue.held, rank) < self._held_most(request.instance, queue):
            queue.hold(waiter)
            return None
        return self._send_away(queue, waiter, now)[1]

    def _send_away(self, queue: TicketQueue, waiter: Waiter, now: float) -> tuple[TicketRequest, TicketReply]:
        request, allowed = waiter.request, self._allowed(queue, waiter.request) or 0  # without a limit nobody waits
        again = self._expected_wait(queue, queue.position(request.node), allowed) / 2
        again = min(max(again, RENEW_INTERVAL / 2), MAX_ASK_AGAIN)
        queue.release(waiter, until=now + again + LOST_AFTER)
        return request, self._reply(queue, request, granted=False, ask_again=again)

    def _held_most(self, instance: str, queue: TicketQueue) -> int:
        """How many requests of one instance may be open."""
        most = self._max_held // max(1, sum(1 for queue in self._queues.values() if queue.waiting))
        limit = self._limit(instance)
        if limit is None:
            return most
        warm = 0 if self._growth is Growth.FIXED else max(queue.warm_by_list.values(), default=0)
        others = max(0, len(queue.waiting) - most)
        return min(most, max(MIN_HELD, HELD_PER_TICKET * max(limit, warm), most - int(others * _FEWER_PER_WAITER)))

    def _expected_wait(self, queue: TicketQueue, position: int, allowed: int) -> float:
        turns = (position + 1) / max(1, allowed)
        if self._growth is Growth.DOUBLING:
            turns = math.log2(1 + turns)
        return turns * queue.duration

    def _is_free(self, queue: TicketQueue, request: TicketRequest, now: float) -> bool:
        """Whether a node that asks may start at once: nobody waits for what is free."""
        limit = self._limit(request.instance)
        if limit is None:
            return True
        has_room = now >= self._opens_at and self._has_room(queue, request.list_digest, limit)
        return has_room and self._next(request.instance, queue, now) is None

    def _has_room(self, queue: TicketQueue, list_digest: str, limit: int) -> bool:
        return len(queue.pulling) < limit or self._is_outnumbered(queue, list_digest, limit)

    def _is_outnumbered(self, queue: TicketQueue, list_digest: str, limit: int) -> bool:
        """Whether more nodes are warm with a list than pull it, and may each serve another one."""
        if self._growth is Growth.FIXED or limit == 0:
            return False
        return queue.pulling_by_list[list_digest] < queue.warm_by_list[list_digest]

    def _allowed(self, queue: TicketQueue, request: TicketRequest) -> int | None:
        limit = self._limit(request.instance)
        if not limit or self._growth is Growth.FIXED:
            return limit
        return max(limit, queue.warm_by_list[request.list_digest])

    def _next(self, instance: str, queue: TicketQueue, now: float) -> Waiter | None:
        """The first open request that may be granted.

        When numbers double, it is the first of a zone without any node that could serve it.
        """
        limit = self._limit(instance)
        if not queue.held or (limit is not None and now < self._opens_at):
            return None
        able = queue.open_waiters()
        if limit is not None and len(queue.pulling) >= limit:
            lists = {name for name in queue.warm_by_list if self._is_outnumbered(queue, name, limit)}
            able = (waiter for waiter in able if waiter.request.list_digest in lists) if lists else iter(())
        first = next(able, None)
        if first is None or self._growth is Growth.FIXED:
            return first
        unserved = {zone for zone in queue.asking if zone and zone not in queue.served}
        if not unserved or first.request.zone in unserved:
            return first
        equals = itertools.takewhile(lambda waiter: waiter.rank.takes_pods == first.rank.takes_pods, able)
        return next((waiter for waiter in equals if waiter.request.zone in unserved), first)

    def _reply(
        self, queue: TicketQueue, request: TicketRequest, *, granted: bool, ask_again: float = RENEW_INTERVAL
    ) -> TicketReply:
        return TicketReply(
            granted=granted,
            ask_again=ask_again,
            position=queue.position(request.node),
            pulling=len(queue.pulling),
            limit=self._allowed(queue, request),
        )
