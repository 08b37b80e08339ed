"""For how long nodes have lacked images without a break, as far as this process has seen."""

from collections.abc import Iterable
from typing import NamedTuple

from nodeprefetch.events import Outcome

HEARD_WITHIN = 1200
"""Seconds after which a node without news no longer counts: it may not exist any more, and nobody says so.

Nodes that lack images have news more often: `keep` repeats a failed run after 15 minutes at the latest, the kubelet
restarts a failed `fetch` after 5.
"""

_WARM = (Outcome.SUCCEEDED, Outcome.PRESENT)

NodeKey = tuple[int, int]
"""Numbers of node and instance."""


class Seen(NamedTuple):
    """A node at one moment."""

    state: str
    """Value of an `Outcome`: the worst of its images."""

    received: int
    """Unix seconds at which its latest change of a state arrived."""


class _Cold(NamedTuple):
    since: float
    received: int


class ColdNodes:
    """Remembers since when nodes have been pulling or failed without having all images at some time in between.

    The time that a node waits before its first pull, for example for a ticket, does not count.
    """

    def __init__(self) -> None:
        self._cold: dict[NodeKey, _Cold] = {}

    def update(self, seen: Iterable[tuple[NodeKey, Seen]], now: float) -> None:
        """Replace what is known by the states of all nodes. `now` in Unix seconds."""
        cold = {}
        for key, (state, received) in seen:
            before = self._cold.get(key)
            if state in _WARM or (before is None and state == Outcome.WAITING):
                continue
            is_silent = before is not None and received - before.received > HEARD_WITHIN
            cold[key] = _Cold(now if before is None or is_silent else before.since, received)
        self._cold = cold

    def longest(self, now: float) -> dict[int, float]:
        """Return the seconds of the node that has lacked images for the longest time, by the instance's number."""
        longest: dict[int, float] = {}
        for (_, instance), (since, received) in self._cold.items():
            if now - received <= HEARD_WITHIN:
                longest[instance] = max(longest.get(instance, 0.0), now - since)
        return longest
