"""Gives out the tickets: decides which nodes may pull. Pure: no I/O, and time is an argument.

A node that waits keeps its request open, and only open requests get tickets: a ticket is never given to a node that is
not there to take it. The aggregator cannot hold a connection open for each node of a large cluster, so nodes far back
in the queue are told to ask again later instead. They lose nothing by it: the order is not that of arrival.

Nothing is kept over a restart. Nodes that pull say so again within `RENEW_INTERVAL`, and until they had the time to, no
ticket is given.
"""

import itertools
import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from nodeprefetch.tickets.messages import LOST_AFTER, RENEW_INTERVAL, TicketReply, TicketRequest, TicketState
from nodeprefetch.tickets.spread import place

RESTART_GRACE = RENEW_INTERVAL + 2
"""Seconds after the start without new tickets, so that the nodes that pull can say so first."""

MIN_HELD = 256
MAX_HELD = 1000
"""Requests kept open at the front of the queue of all instances; within these bounds twice as many as may pull."""

MAX_ASK_AGAIN = 60.0
"""Seconds. A node far back in the queue asks again after half of the expected time, and at the latest after this."""

_FIRST_DURATION = 30.0
"""Seconds that a node is expected to pull while none has ended yet."""

_WEIGHT = 0.2
"""Of the newest duration in their moving average."""

WARM_KEPT = 24 * 3600.0
"""Seconds for which a node counts as warm after it said so."""

_SWEEP_INTERVAL = 1.0
"""Seconds between two searches for nodes that have fallen silent."""


class Growth(StrEnum):
    """How the number of nodes that pull at once develops."""

    FIXED = "fixed"
    """Always the limit."""

    DOUBLING = "doubling"
    """As many as are warm, and never fewer than the limit: for clusters whose nodes serve each other images."""


class Rank(NamedTuple):
    """The order of the queue: nodes that take no pods until they are warm first, then by place."""

    is_open: bool
    place: float
    node: str


@dataclass(kw_only=True, slots=True)
class _Waiter:
    rank: Rank
    request: TicketRequest
    until: float
    """When it is forgotten, unless it asks again."""

    is_held: bool = False
    """Its request is open."""


@dataclass(kw_only=True, slots=True)
class _Holder:
    """A node that pulls, or is warm."""

    request: TicketRequest
    since: float
    until: float


class QueueCounts(NamedTuple):
    """How many nodes of an instance are in which state."""

    pulling: int
    waiting: int
    warm: int
    """With the list of the node that asked last."""

    limit: int | None
    """None: no limit."""


@dataclass(kw_only=True, slots=True)
class _Queue:
    """The nodes of one instance."""

    waiting: dict[str, _Waiter] = field(default_factory=dict)
    order: list[Rank] = field(default_factory=list)
    pulling: dict[str, _Holder] = field(default_factory=dict)
    warm: dict[str, _Holder] = field(default_factory=dict)
    warm_by_list: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    """Nodes that pull or are warm, by zone."""

    asking: Counter[str] = field(default_factory=Counter)
    """Nodes that wait, by zone."""

    newest_list: str = ""
    duration: float = _FIRST_DURATION
    """Moving average of how long nodes pull, seconds."""

    swept_at: float = -math.inf

    @property
    def warm_count(self) -> int:
        """Warm nodes with the newest list."""
        return self.warm_by_list[self.newest_list]


class TicketOffice:
    """Decides which nodes pull.

    Args:
        limit: returns how many nodes of an instance may pull at once; None: no limit. Called whenever it matters.
        growth: how this number develops.
        started: when the aggregator started. Time is in seconds, of any clock that never goes back.
    """

    def __init__(self, limit: Callable[[str], int | None], *, growth: Growth, started: float) -> None:
        self._limit = limit
        self._growth = growth
        self._opens_at = started + RESTART_GRACE
        self._queues: dict[str, _Queue] = {}
        self.lost = 0
        """Tickets of nodes that fell silent."""

    def ask(self, request: TicketRequest, *, now: float) -> TicketReply | None:
        """Take in a request.

        Returns:
            The answer; None: keep the request open until `grants` names it, or call `leave`.
        """
        queue = self._queues.setdefault(request.instance, _Queue())
        self._sweep(queue, now)
        if request.state is TicketState.WAITING or not queue.newest_list:
            queue.newest_list = request.list_digest
        if request.state is not TicketState.WAITING:
            return self._take_news(queue, request, now)
        holder = queue.pulling.get(request.node)
        if holder is not None or self._is_free(request.instance, queue, now):
            self._start(queue, request, now)
            return self._reply(queue, request, granted=True)
        return self._enqueue(queue, request, now)

    def knows(self, request: TicketRequest) -> bool:
        """Whether the node waits, pulls or is warm: its next request takes no more memory."""
        queue = self._queues.get(request.instance)
        return queue is not None and any(request.node in nodes for nodes in (queue.waiting, queue.pulling, queue.warm))

    @property
    def known(self) -> int:
        """How many nodes are known, each once for each instance and state."""
        return sum(len(queue.waiting) + len(queue.pulling) + len(queue.warm) for queue in self._queues.values())

    def leave(self, request: TicketRequest, *, now: float) -> TicketReply:
        """An open request ends without a ticket: its time is over, or the node has gone. Returns the answer."""
        queue = self._queues[request.instance]
        waiter = queue.waiting.get(request.node)
        if waiter is not None and waiter.request is request:
            waiter.is_held, waiter.until = False, now + LOST_AFTER
        return self._reply(queue, request, granted=False, ask_again=0)

    def grants(self, *, now: float) -> Iterator[tuple[TicketRequest, TicketReply]]:
        """Give the tickets that are free. Yields each open request that gets one, with its answer.

        Call it after `ask` and at `next_change`.
        """
        for instance, queue in self._queues.items():
            self._sweep(queue, now)
            while (waiter := self._next(queue)) is not None and self._has_room(instance, queue, now):
                self._start(queue, waiter.request, now)
                yield waiter.request, self._reply(queue, waiter.request, granted=True)

    def next_change(self, *, now: float) -> float:
        """When `grants` may have something to give without a new request: a ticket is lost, or the office opens."""
        ends = [
            max(holder.until, queue.swept_at + _SWEEP_INTERVAL)
            for queue in self._queues.values()
            if queue.waiting
            for holder in queue.pulling.values()
        ]
        if now < self._opens_at:
            ends.append(self._opens_at)
        return min(ends, default=math.inf)

    def counts(self, *, now: float) -> dict[str, QueueCounts]:
        """How many nodes are in which state, by instance."""
        for queue in self._queues.values():
            self._sweep(queue, now)
        return {
            instance: QueueCounts(
                pulling=len(queue.pulling),
                waiting=len(queue.waiting),
                warm=queue.warm_count,
                limit=self._limit(instance),
            )
            for instance, queue in self._queues.items()
        }

    def _take_news(self, queue: _Queue, request: TicketRequest, now: float) -> TicketReply:
        holder = queue.pulling.get(request.node)
        if request.state is TicketState.PULLING:
            self._start(queue, request, now)
        elif holder is None or holder.request.run_id == request.run_id:  # not a late word of an earlier run
            self._drop_waiter(queue, request.node)
            if holder is not None:
                self._drop_holder(queue, request.node)
                queue.duration += _WEIGHT * (now - holder.since - queue.duration)
            self._set_warm(queue, request, now)
        return self._reply(queue, request, granted=request.state is TicketState.PULLING)

    def _enqueue(self, queue: _Queue, request: TicketRequest, now: float) -> TicketReply | None:
        self._drop_waiter(queue, request.node)
        rank = Rank(not request.is_gated, place(request.instance, request.node), request.node)
        insort(queue.order, rank)
        waiter = queue.waiting[request.node] = _Waiter(rank=rank, request=request, until=math.inf)
        queue.asking[request.zone] += 1
        position = bisect_left(queue.order, rank)
        allowed = self._allowed(request.instance, queue) or 0  # without a limit nobody waits
        if request.wait > 0 and position < self._held_most(allowed):
            waiter.is_held = True
            return None
        again = self._expected_wait(queue, position, allowed) / 2
        again = min(max(again, RENEW_INTERVAL / 2), MAX_ASK_AGAIN)
        waiter.until = now + again + LOST_AFTER
        return self._reply(queue, request, granted=False, ask_again=again)

    def _held_most(self, allowed: int) -> int:
        return min(max(2 * allowed, MIN_HELD), MAX_HELD) // max(1, len(self._queues))

    def _expected_wait(self, queue: _Queue, position: int, allowed: int) -> float:
        turns = (position + 1) / max(1, allowed)
        if self._growth is Growth.DOUBLING:
            turns = math.log2(1 + turns)
        return turns * queue.duration

    def _is_free(self, instance: str, queue: _Queue, now: float) -> bool:
        """Whether a node that asks may start at once: nobody waits for what is free."""
        if self._limit(instance) is None:
            return True
        return self._next(queue) is None and self._has_room(instance, queue, now)

    def _has_room(self, instance: str, queue: _Queue, now: float) -> bool:
        allowed = self._allowed(instance, queue)
        return allowed is None or (now >= self._opens_at and len(queue.pulling) < allowed)

    def _allowed(self, instance: str, queue: _Queue) -> int | None:
        limit = self._limit(instance)
        if not limit or self._growth is Growth.FIXED:
            return limit
        return max(limit, queue.warm_count)

    def _next(self, queue: _Queue) -> _Waiter | None:
        """The first open request; when numbers double, one of a zone without any node that could serve it."""
        held = (waiter for rank in queue.order if (waiter := queue.waiting[rank.node]).is_held)
        first = next(held, None)
        if first is None or self._growth is Growth.FIXED:
            return first
        unserved = {zone for zone, count in queue.asking.items() if zone and count and not queue.served[zone]}
        if not unserved or first.request.zone in unserved:
            return first
        equals = itertools.takewhile(lambda waiter: waiter.rank.is_open == first.rank.is_open, held)
        return next((waiter for waiter in equals if waiter.request.zone in unserved), first)

    def _start(self, queue: _Queue, request: TicketRequest, now: float) -> None:
        self._drop_waiter(queue, request.node)
        holder = queue.pulling.get(request.node)
        self._drop_holder(queue, request.node)
        since = holder.since if holder is not None and holder.request.run_id == request.run_id else now
        queue.pulling[request.node] = _Holder(request=request, since=since, until=now + LOST_AFTER)
        queue.served[request.zone] += 1

    def _set_warm(self, queue: _Queue, request: TicketRequest, now: float) -> None:
        self._drop_warm(queue, request.node)
        if request.is_warm:
            queue.warm[request.node] = _Holder(request=request, since=now, until=now + WARM_KEPT)
            queue.warm_by_list[request.list_digest] += 1
            queue.served[request.zone] += 1

    def _drop_warm(self, queue: _Queue, node: str) -> None:
        warm = queue.warm.pop(node, None)
        if warm is not None:
            queue.warm_by_list[warm.request.list_digest] -= 1
            queue.served[warm.request.zone] -= 1

    def _drop_waiter(self, queue: _Queue, node: str) -> None:
        waiter = queue.waiting.pop(node, None)
        if waiter is not None:
            del queue.order[bisect_left(queue.order, waiter.rank)]
            queue.asking[waiter.request.zone] -= 1

    def _drop_holder(self, queue: _Queue, node: str) -> None:
        holder = queue.pulling.pop(node, None)
        if holder is not None:
            queue.served[holder.request.zone] -= 1

    def _sweep(self, queue: _Queue, now: float) -> None:
        """Forget the nodes that have fallen silent."""
        if now < queue.swept_at + _SWEEP_INTERVAL:
            return
        queue.swept_at = now
        for node in _over(queue.pulling, now):
            self._drop_holder(queue, node)
            self.lost += 1
        for node in _over(queue.waiting, now):
            self._drop_waiter(queue, node)
        for node in _over(queue.warm, now):
            self._drop_warm(queue, node)

    def _reply(
        self, queue: _Queue, request: TicketRequest, *, granted: bool, ask_again: float = RENEW_INTERVAL
    ) -> TicketReply:
        waiter = queue.waiting.get(request.node)
        return TicketReply(
            granted=granted,
            ask_again=ask_again,
            position=0 if waiter is None else bisect_left(queue.order, waiter.rank),
            pulling=len(queue.pulling),
            limit=self._allowed(request.instance, queue),
        )


def _over(entries: Mapping[str, _Holder | _Waiter], now: float) -> list[str]:
    return [node for node, entry in entries.items() if entry.until <= now]
