"""What is counted over all images on nodes: states of images and nodes, last runs, digests that differ."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from nodeprefetch.aggregator.store import Store
from nodeprefetch.events import Outcome

_NODES_NAMED = 10
"""Nodes named for a digest; the rest is counted."""


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
    """All of it, at one moment."""

    images: dict[tuple[str, str], int] = field(default_factory=dict)
    """By instance and state."""

    nodes: dict[tuple[str, str], int] = field(default_factory=dict)
    """By instance and state."""

    last_runs: dict[str, int] = field(default_factory=dict)
    """Unix seconds by instance: when a run was last heard of."""

    skew: list[Skew] = field(default_factory=list)


class Overviews:
    """Makes overviews, and keeps the last one while nothing changes.

    Args:
        store: of which.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = -1
        self._latest = Overview()

    def latest(self) -> Overview:
        """The overview of this moment."""
        if self._version != self._store.version:
            self._latest = _overview(self._store)
            self._version = self._store.version
        return self._latest


def node_state(counts: Counter[str]) -> str:
    """The state of a node, by the states of its images: failed if any has, present only when all are."""
    for state in (Outcome.FAILED, Outcome.PULLING, Outcome.WAITING, Outcome.SUCCEEDED):
        if counts[state]:
            return str(state)
    return str(Outcome.PRESENT)


def _overview(store: Store) -> Overview:
    instances = store.records.instances.by_number()
    by_node: dict[tuple[int, int], Counter[str]] = {}
    images: Counter[tuple[str, str]] = Counter()
    grouped = "SELECT node, instance, state, count(*) FROM state GROUP BY node, instance, state"
    for node, instance, state, count in store.database.execute(grouped):
        by_node.setdefault((node, instance), Counter())[state] = count
        images[instances[instance], state] += count
    nodes = Counter((instances[instance], node_state(counts)) for (_, instance), counts in by_node.items())
    heard = store.database.execute("SELECT instance, max(heard) FROM run GROUP BY instance")
    return Overview(
        images=images,
        nodes=nodes,
        last_runs={instances[instance]: last for instance, last in heard},
        skew=_skew(store),
    )


def _skew(store: Store) -> list[Skew]:
    database: sqlite3.Connection = store.database
    names, nodes = store.records.images.by_number(), store.records.nodes.by_number()
    found = database.execute(
        "SELECT image FROM state WHERE digest <> '' AND state IN ('succeeded', 'present')"
        " GROUP BY image HAVING min(digest) <> max(digest)"
    ).fetchall()
    skewed = {image: names[image] for (image,) in found if "@" not in names[image]}
    holders: dict[int, dict[str, list[int]]] = {image: {} for image in skewed}
    if skewed:
        rows = database.execute(
            "SELECT image, digest, node FROM state WHERE digest <> '' AND state IN ('succeeded', 'present')"
        )
        for image, digest, node in rows:
            if image in holders:
                holders[image].setdefault(digest, []).append(node)
    return [
        Skew(
            image=skewed[image],
            digests=[
                SkewedDigest(
                    digest=digest,
                    nodes=len(set(having)),
                    examples=sorted({nodes[node] for node in having})[:_NODES_NAMED],
                )
                for digest, having in sorted(digests.items())
            ],
        )
        for image, digests in sorted(holders.items(), key=lambda item: skewed[item[0]])
    ]
