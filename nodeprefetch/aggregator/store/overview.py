"""What is counted over all images on nodes: states of images and nodes, last runs, digests that differ."""

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from nodeprefetch.aggregator.store.slices import WITHIN, slices
from nodeprefetch.aggregator.store.writer import Store
from nodeprefetch.events import Outcome

_IMAGES_NAMED = 100
"""Images whose digests differ that are named; all are counted."""

_DIGESTS_NAMED = 10
"""Digests named for an image; the others share one entry."""

_NODES_NAMED = 10
"""Nodes named for a digest; the rest is counted."""

_OTHERS = "(others)"
_HELD = "digest <> '' AND state IN ('succeeded', 'present')"


@dataclass(frozen=True, kw_only=True, slots=True)
class SkewedDigest:
    """One of several digests that a tag has."""

    digest: str
    nodes: int
    """How many have it."""

    examples: list[str]
    """Some of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skew:
    """An image that is not the same on all nodes."""

    image: str
    digests: list[SkewedDigest]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """All of it, each node as it was when its turn came."""

    images: dict[tuple[str, str], int] = field(default_factory=dict)
    """By instance and state."""

    nodes: dict[tuple[str, str], int] = field(default_factory=dict)
    """By instance and state."""

    last_runs: dict[str, int] = field(default_factory=dict)
    """Unix seconds by instance: when a run was last heard of."""

    skewed: dict[int, str] = field(default_factory=dict)
    """Images that are not the same on all nodes: numbers and names."""


class Overviews:
    """Makes overviews, and keeps the last one while nothing changes. Whoever asks together is given one.

    Args:
        store: of which.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = trio.Lock()
        self._version = self._skew_version = -1
        self._latest = Overview()
        self._skew: list[Skew] = []

    async def latest(self) -> Overview:
        """An overview that has all that was stored before this was asked."""
        wanted = self._store.version
        async with self._lock:
            return await self._renewed(wanted)

    async def skew(self) -> list[Skew]:
        """Images that are not the same on all nodes, the first of them by name."""
        wanted = self._store.version
        async with self._lock:
            if self._skew_version < wanted:
                version = self._store.version
                self._skew = await _skew(self._store, (await self._renewed(wanted)).skewed)
                self._skew_version = version
            return self._skew

    async def _renewed(self, wanted: int) -> Overview:
        if self._version < wanted:
            version = self._store.version
            self._latest = await _overview(self._store)
            self._version = version
        return self._latest


def node_state(counts: Counter[str]) -> str:
    """The state of a node, by the states of its images: failed if any has, present only when all are."""
    for state in (Outcome.FAILED, Outcome.PULLING, Outcome.WAITING, Outcome.SUCCEEDED):
        if counts[state]:
            return str(state)
    return str(Outcome.PRESENT)


async def _overview(store: Store) -> Overview:
    database = store.database
    images: Counter[tuple[int, str]] = Counter()
    nodes: Counter[tuple[int, str]] = Counter()
    digests: dict[int, tuple[str, str]] = {}
    place, counts = (0, 0), Counter[str]()  # of the node that the last slice may have ended in
    grouped = f"SELECT node, instance, state, count(*) FROM state WHERE {WITHIN} GROUP BY node, instance, state"  # noqa: S608
    differing = f"SELECT image, min(digest), max(digest) FROM state WHERE {WITHIN} AND {_HELD} GROUP BY image"  # noqa: S608
    async with aclosing(slices(database)) as parts:
        async for part in parts:
            for node, instance, state, count in database.execute(grouped, part).fetchall():
                if (node, instance) != place:
                    if counts:
                        nodes[place[1], node_state(counts)] += 1
                    place, counts = (node, instance), Counter()
                counts[state] += count
                images[instance, state] += count
            for image, least, greatest in database.execute(differing, part).fetchall():
                known = digests.get(image, (least, greatest))
                digests[image] = min(known[0], least), max(known[1], greatest)
    if counts:
        nodes[place[1], node_state(counts)] += 1
    instances, names = store.records.instances.by_number(), store.records.images.by_number()
    skewed = {image: names[image] for image, (least, greatest) in digests.items() if least != greatest}
    return Overview(
        images={(instances[instance], state): count for (instance, state), count in images.items()},
        nodes={(instances[instance], state): count for (instance, state), count in nodes.items()},
        last_runs={instances[instance]: last for instance, last in store.records.runs.heard.items()},
        skewed={image: name for image, name in skewed.items() if "@" not in name},
    )


class _Holders:
    """The nodes that have one digest of an image. Told in the order of nodes."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[int] = []
        self._last = -1

    def add(self, node: int) -> None:
        if node != self._last:  # several instances may have an image there
            self._last = node
            self.count += 1
            if len(self.examples) < _NODES_NAMED:
                self.examples.append(node)


async def _skew(store: Store, skewed: dict[int, str]) -> list[Skew]:
    named = sorted(skewed, key=lambda image: skewed[image])[:_IMAGES_NAMED]
    if not named:
        return []
    holders: dict[int, dict[str, _Holders]] = {image: {} for image in named}
    among = ", ".join("?" * len(named))
    select = f"SELECT image, digest, node FROM state WHERE {WITHIN} AND {_HELD} AND image IN ({among})"  # noqa: S608
    async with aclosing(slices(store.database)) as parts:
        async for part in parts:
            for image, digest, node in store.database.execute(select, (*part, *named)).fetchall():
                known = holders[image]
                if digest not in known and len(known) >= _DIGESTS_NAMED:
                    digest = _OTHERS  # noqa: PLW2901
                known.setdefault(digest, _Holders()).add(node)
    nodes = store.records.nodes.by_number()
    return [
        Skew(
            image=skewed[image],
            digests=[
                SkewedDigest(
                    digest=digest, nodes=having.count, examples=sorted(nodes[node] for node in having.examples)
                )
                for digest, having in sorted(holders[image].items(), key=lambda item: (item[0] == _OTHERS, item[0]))
            ],
        )
        for image in named
    ]
