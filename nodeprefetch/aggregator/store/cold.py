"""For how long nodes have lacked images without a break, as far as this process has seen."""

from collections.abc import Mapping
from typing import NamedTuple

from nodeprefetch.events import Outcome

HEARD_WITHIN = 1200
"""Seconds after which a node without news no longer counts: it may not exist any more, and nobody says so.

Nodes that lack images have news more often: `keep` repeats a failed run after 15 minutes at the latest, the kubelet
restarts a failed `fetch` after 5.
"""

NodeKey = tuple[int, int]
"""Numbers of node and instance."""


class Seen(NamedTuple):
    """A node at one moment."""

    state: str
    """Value of an `Outcome`: the worst of its images."""

    heard: int
    """Unix seconds of the last batch of its newest run, by our clock."""


class _Cold(NamedTuple):
    since: float
    heard: int


class ColdNodes:
    """Remembers since when nodes have been pulling or failed without having all images at some time in between.

    The time that a node waits before its first pull, for example for a ticket, does not count.
    """

    def __init__(self) -> None:
        self._cold: dict[NodeKey, _Cold] = {}

    def update(self, lacking: Mapping[NodeKey, Seen], now: float) -> None:
        """Replace what is known by all nodes that lack images now. `now` in Unix seconds."""
        cold = {}
        for key, (state, heard) in lacking.items():
            before = self._cold.get(key)
            if before is None and state == Outcome.WAITING:
                continue
            was_silent = before is not None and heard - before.heard > HEARD_WITHIN
            cold[key] = _Cold(now if before is None or was_silent else before.since, heard)
        self._cold = cold

    def longest(self, now: float) -> dict[int, float]:
        """Return the seconds of the node that has lacked images for the longest time, by the instance's number."""
        longest: dict[int, float] = {}
        for (_, instance), (since, heard) in self._cold.items():
            if now - heard <= HEARD_WITHIN:
                longest[instance] = max(longest.get(instance, 0.0), now - since)
        return longest
