"""The nodes of one installation: which wait, pull or are warm, in which order, and for how long that is known. Pure."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from nodeprefetch.tickets.messages import LOST_AFTER, TicketRequest

WARM_KEPT = 24 * 3600.0
"""Seconds for which a node counts as warm after it said so."""

_SWEEP_INTERVAL = 1.0
"""Seconds between two searches for nodes that do not ask any more."""

_FIRST_DURATION = 5.0
"""Seconds that a node is expected to pull while none has ended yet. If it is longer, nodes far back ask too often for a
while. If it were shorter, they would come after their turn, and nobody would pull meanwhile."""

_WEIGHT = 0.2
"""Of the newest duration in their moving average."""


class Rank(NamedTuple):
    """The order of the queue: nodes that take no pods until they are warm first, then by place."""

    takes_pods: bool
    place: float
    node: str


@dataclass(kw_only=True, slots=True)
class Waiter:
    """A node that waits for a ticket."""

    rank: Rank
    request: TicketRequest
    until: float
    """When it is forgotten, unless it asks again; infinite while its request is open."""


@dataclass(kw_only=True, slots=True)
class Holder:
    """A node that pulls."""

    request: TicketRequest
    since: float
    until: float
    """When its ticket is lost, unless it says that it still pulls."""


@dataclass(kw_only=True, slots=True)
class _Warm:
    """A node that has all images of its list. As small as possible: there may be tens of thousands."""

    list_digest: str
    zone: str
    until: float


@dataclass(kw_only=True, slots=True)
class TicketQueue:
    """The nodes of one instance, each in at most one state."""

    waiting: dict[str, Waiter] = field(default_factory=dict)
    order: list[Rank] = field(default_factory=list)
    """Of all that wait."""

    held: list[Rank] = field(default_factory=list)
    """Of those whose request is open; in order, too."""

    pulling: dict[str, Holder] = field(default_factory=dict)
    """The one that is lost first comes first."""

    warm: dict[str, _Warm] = field(default_factory=dict)
    """The one that is forgotten first comes first."""

    pulling_by_list: Counter[str] = field(default_factory=Counter)
    warm_by_list: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    """Nodes that pull or are warm, by zone."""

    asking: Counter[str] = field(default_factory=Counter)
    """Nodes that wait, by zone."""

    duration: float = _FIRST_DURATION
    """Moving average of how long nodes pull, seconds."""

    _swept_at: float = 0

    def __len__(self) -> int:
        """How many nodes are known."""
        return len(self.waiting) + len(self.pulling) + len(self.warm)

    def knows(self, node: str) -> bool:
        """Whether the node waits, pulls or is warm."""
        return node in self.pulling or node in self.waiting or node in self.warm

    def enqueue(self, request: TicketRequest, rank: Rank, *, until: float) -> Waiter:
        """Have a node wait. Its request is not open yet."""
        self.forget(request.node)
        waiter = self.waiting[request.node] = Waiter(rank=rank, request=request, until=until)
        insort(self.order, rank)
        self.asking[request.zone] += 1
        return waiter

    def hold(self, waiter: Waiter) -> None:
        """Count the node's request as open."""
        insort(self.held, waiter.rank)
        waiter.until = float("inf")

    def release(self, waiter: Waiter, *, until: float) -> None:
        """Count the node's request as answered, or as closed by the node."""
        _remove(self.held, waiter.rank)
        waiter.until = until

    def open_waiters(self) -> Iterator[Waiter]:
        """The nodes whose requests are open, first in order first."""
        return (self.waiting[rank.node] for rank in self.held)

    def start(self, request: TicketRequest, *, now: float) -> None:
        """Have a node pull, or go on with that."""
        earlier = self.pulling.get(request.node)
        since = earlier.since if earlier is not None and earlier.request.run_id == request.run_id else now
        self.forget(request.node)
        self.pulling[request.node] = Holder(request=request, since=since, until=now + LOST_AFTER)
        self.pulling_by_list[request.list_digest] += 1
        self.served[request.zone] += 1

    def end(self, request: TicketRequest, *, now: float) -> None:
        """Have a node do nothing any more, warm or not."""
        holder = self.pulling.get(request.node)
        if holder is not None:
            self.duration += _WEIGHT * (now - holder.since - self.duration)
        before = self.warm.get(request.node)
        self.forget(request.node)
        if request.is_warm:
            zone = request.zone or (before.zone if before is not None else "")
            warm = _Warm(list_digest=intern(request.list_digest), zone=intern(zone), until=now + WARM_KEPT)
            self.warm[request.node] = warm
            self.warm_by_list[warm.list_digest] += 1
            self.served[warm.zone] += 1

    def forget(self, node: str) -> None:
        """Forget the node."""
        if (waiter := self.waiting.pop(node, None)) is not None:
            _remove(self.order, waiter.rank)
            _remove(self.held, waiter.rank)
            _uncount(self.asking, waiter.request.zone)
        elif (holder := self.pulling.pop(node, None)) is not None:
            _uncount(self.pulling_by_list, holder.request.list_digest)
            _uncount(self.served, holder.request.zone)
        elif (warm := self.warm.pop(node, None)) is not None:
            _uncount(self.warm_by_list, warm.list_digest)
            _uncount(self.served, warm.zone)

    def forget_silent(self, *, now: float) -> int:
        """Forget the nodes that have fallen silent. Returns how many of them pulled."""
        lost = 0
        while self.next_loss() <= now:
            self.forget(next(iter(self.pulling)))
            lost += 1
        while self.warm and next(iter(self.warm.values())).until <= now:
            self.forget(next(iter(self.warm)))
        if now >= self._swept_at + _SWEEP_INTERVAL:
            self._swept_at = now
            for node in [node for node, waiter in self.waiting.items() if waiter.until <= now]:
                self.forget(node)
        return lost

    def next_loss(self) -> float:
        """When the next ticket is lost; infinite if nobody pulls."""
        return next((holder.until for holder in self.pulling.values()), float("inf"))

    def position(self, node: str) -> int:
        """How many nodes wait before this one; 0 if it does not wait."""
        waiter = self.waiting.get(node)
        return 0 if waiter is None else bisect_left(self.order, waiter.rank)


def _remove(ranks: list[Rank], rank: Rank) -> None:
    index = bisect_left(ranks, rank)
    if index < len(ranks) and ranks[index] == rank:
        del ranks[index]


def _uncount(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
