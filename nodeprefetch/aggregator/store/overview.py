"""Totals over all nodes: states of images and nodes, last runs, digest skew."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Container
from contextlib import aclosing
from dataclasses import dataclass, field

import trio

from nodeprefetch.aggregator.store.cold import ColdNodes, NodeKey, Seen
from nodeprefetch.aggregator.store.slices import WITHIN, slices
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.events import ON_NODE, Outcome

_IMAGES_NAMED = 100
"""Images with digest skew that are listed; all are counted."""

_DIGESTS_NAMED = 10
"""Digests listed for an image; the others share one entry."""

_NODES_NAMED = 10
"""Nodes listed for a digest; all are counted."""

_MISSING_COUNTED = 10_000
"""Missing images of instances that are counted apart; the others of an instance share one count."""

_OTHERS, _NO_IMAGE = "(others)", 0
_LAST_NEWS = """
SELECT heard FROM node_report JOIN run ON run.id = node_report.run
WHERE node_report.node = ? AND node_report.instance = ?
"""
_ON_NODE = "state IN ('succeeded', 'present')"
_HELD = f"digest <> '' AND {_ON_NODE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SkewedDigest:
    """One of several digests of a tag."""

    digest: str
    nodes: int
    """Number of nodes that have it."""

    examples: list[str]
    """Names of some of these nodes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skew:
    """An image whose tag has different digests on different nodes."""

    image: str
    digests: list[SkewedDigest]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The totals. Not a snapshot: each node is counted once, at its own time."""

    images: dict[tuple[str, str], int] = field(default_factory=dict)
    """By instance and state."""

    nodes: dict[tuple[str, str], int] = field(default_factory=dict)
    """By instance and state."""

    missing: dict[tuple[str, str], int] = field(default_factory=dict)
    """Nodes whose list has an image that is not on them, by instance and image; `(others)`: further images."""

    gave_up: dict[str, int] = field(default_factory=dict)
    """Nodes that take pods although images are missing, by instance."""

    gone: dict[str, int] = field(default_factory=dict)
    """Nodes that are not heard of any more, by instance."""

    rejecting: dict[str, int] = field(default_factory=dict)
    """Nodes whose newest lists are invalid or cannot be read, by instance."""

    last_runs: dict[str, int] = field(default_factory=dict)
    """Unix seconds of the last event of any run, by instance."""

    skewed: dict[int, str] = field(default_factory=dict)
    """Images with digest skew: numbers and names."""


class Overviews:
    """Computes overviews. Keeps the latest until the store changes; concurrent callers share one.

    Args:
        store: where the states are.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._cold = ColdNodes()
        self._lock = trio.Lock()
        self._version = self._skew_version = -1
        self._latest = Overview()
        self._skew: list[Skew] = []

    async def latest(self) -> Overview:
        """Return an overview that includes everything stored before this call."""
        wanted = self._store.version
        async with self._lock:
            return await self._renewed(wanted)

    def longest_cold(self) -> dict[str, float]:
        """Return the seconds of the node that has lacked images for the longest time, by instance.

        As of the latest overview; without instances that lack nothing.
        """
        instances = self._store.records.instances.by_number()
        return {instances[number]: seconds for number, seconds in self._cold.longest(self._clock()).items()}

    async def skew(self) -> list[Skew]:
        """Return the images with digest skew, the first 100 by name."""
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
            self._latest, lacking = await _overview(self._store)
            self._cold.update(lacking, self._clock())
            self._version = version
        return self._latest


def node_state(states: Container[str]) -> str:
    """Return the state of a node from those of its images: failed if any has failed, present only if all are."""
    for state in (Outcome.FAILED, Outcome.PULLING, Outcome.WAITING, Outcome.SUCCEEDED):
        if state in states:
            return str(state)
    return str(Outcome.PRESENT)


class _Nodes:
    """Counts nodes by their states. Expects the states of a node one after the other."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.counts: Counter[tuple[int, str]] = Counter()
        """By instance and state."""

        self.lacking: dict[NodeKey, Seen] = {}
        """Nodes that lack images. Without those of image-prefetcher, which has no runs."""

        self._current = (0, 0)
        self._images: Counter[str] = Counter()

    def add(self, key: NodeKey, state: str, images: int) -> None:
        if key != self._current:
            self.end()
            self._current, self._images = key, Counter()
        self._images[state] += images

    def end(self) -> None:
        if not self._images:
            return
        state = node_state(self._images)
        self.counts[self._current[1], state] += 1
        if state not in ON_NODE and (run := self._database.execute(_LAST_NEWS, self._current).fetchone()):
            self.lacking[self._current] = Seen(state, run[0])


async def _overview(store: Store) -> tuple[Overview, dict[NodeKey, Seen]]:
    database = store.database
    images: Counter[tuple[int, str]] = Counter()
    nodes = _Nodes(database)  # a slice may end in the middle of a node
    missing: Counter[tuple[int, int]] = Counter()
    digests: dict[int, tuple[str, str]] = {}
    grouped = f"SELECT node, instance, state, count(*) FROM state WHERE {WITHIN} GROUP BY node, instance, state"  # noqa: S608
    lacking = f"SELECT instance, image, count(*) FROM state WHERE {WITHIN} AND NOT {_ON_NODE} GROUP BY instance, image"  # noqa: S608
    differing = f"SELECT image, min(digest), max(digest) FROM state WHERE {WITHIN} AND {_HELD} GROUP BY image"  # noqa: S608
    async with aclosing(slices(database)) as parts:
        async for part in parts:
            for node, instance, state, count in database.execute(grouped, part).fetchall():
                nodes.add((node, instance), state, count)
                images[instance, state] += count
            for instance, image, count in database.execute(lacking, part).fetchall():
                is_counted = (instance, image) in missing or len(missing) < _MISSING_COUNTED
                missing[instance, image if is_counted else _NO_IMAGE] += count
            for image, least, greatest in database.execute(differing, part).fetchall():
                known = digests.get(image, (least, greatest))
                digests[image] = min(known[0], least), max(known[1], greatest)
    nodes.end()
    instances, names = store.records.instances.by_number(), store.records.images.by_number()
    skewed = {image: names[image] for image, (least, greatest) in digests.items() if least != greatest}
    found = Overview(
        images={(instances[instance], state): count for (instance, state), count in images.items()},
        nodes={(instances[instance], state): count for (instance, state), count in nodes.counts.items()},
        missing={
            (instances[instance], names.get(image, _OTHERS)): count for (instance, image), count in missing.items()
        },
        gave_up={instances[instance]: count for instance, count in store.records.gates.gave_up().items()},
        gone={instances[instance]: gone.nodes for instance, gone in store.records.node_reports.gone().items()},
        rejecting={instances[instance]: count for instance, count in store.records.node_reports.rejecting().items()},
        last_runs={instances[instance]: last for instance, last in store.records.runs.heard.items()},
        skewed={image: name for image, name in skewed.items() if "@" not in name},
    )
    return found, nodes.lacking


class _Holders:
    """The nodes that have one digest of an image. Expects them in the order of their numbers."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[int] = []
        self._last = -1

    def add(self, node: int) -> None:
        if node != self._last:  # several instances may have the image on this node
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
