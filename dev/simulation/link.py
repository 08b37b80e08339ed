"""One link that its transfers share equally (processor sharing), each at most at a receiver's rate. Pure.

All transfers of a link progress at the same rate, so one number, the bytes that each of them has got since the link
exists, says when the next one is done: O(log n) for each event.
"""

import heapq
import itertools
import math
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Link(Generic[Item]):
    """Transfers from one sender.

    Args:
        rate: of the sender, bytes per second.
        cap: of each receiver.
    """

    __slots__ = ("_cap", "_counter", "_ends", "_given", "_keys", "_rate", "_updated", "due")

    def __init__(self, *, rate: float, cap: float) -> None:
        self._rate = rate
        self._cap = cap
        self._given = 0.0
        self._updated = 0.0
        self._ends: list[tuple[float, int, Item]] = []
        self._keys: dict[Item, float] = {}
        self._counter = itertools.count()
        self.due = math.inf
        """For its user: when it is waited for."""

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def items(self) -> tuple[Item, ...]:
        """Transfers under way."""
        return tuple(self._keys)

    @property
    def throughput(self) -> float:
        """Bytes per second of all transfers together."""
        return min(self._rate, len(self._keys) * self._cap)

    def add(self, item: Item, size: float, now: float) -> None:
        """Begin a transfer of so many bytes."""
        self._advance(now)
        end = self._given + size
        self._keys[item] = end
        heapq.heappush(self._ends, (end, next(self._counter), item))

    def remove(self, item: Item, now: float) -> float:
        """End a transfer early. Returns the bytes that were left."""
        self._advance(now)
        return max(0.0, self._keys.pop(item) - self._given)

    def next_end(self) -> float:
        """When the next transfer is done, if nothing changes; infinite if there is none."""
        while self._ends:
            end, _, item = self._ends[0]
            if self._keys.get(item) == end:
                return self._updated + max(0.0, end - self._given) / self._each()
            heapq.heappop(self._ends)
        return math.inf

    def pop(self, now: float) -> Item:
        """End the transfer that is done now: `next_end` has returned this time."""
        self._advance(now)
        _, _, item = heapq.heappop(self._ends)
        del self._keys[item]
        return item

    def _each(self) -> float:
        return min(self._cap, self._rate / len(self._keys))

    def _advance(self, now: float) -> None:
        if self._keys:
            self._given += (now - self._updated) * self._each()
        else:  # small numbers keep their precision
            self._given = 0.0
        self._updated = now
