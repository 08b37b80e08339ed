"""What is simulated: the cluster, its registry, the list of images, what is set, and what fails."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from nodeprefetch.tickets.growth import Growth
from nodeprefetch.tickets.spread import spread_needed

GIGABIT = 1e9 / 8
"""Bytes per second."""

MEGABYTE = 1e6

SETUP_REQUESTS = 3
"""Requests for an image before its layers: token, index, manifest."""


class Failure(StrEnum):
    """What goes wrong in the middle of a run."""

    REGISTRY_AWAY = "registry-away"
    """The registry breaks all connections and refuses new ones."""

    NODES_DIE = "nodes-die"
    """2 % of the nodes die while they pull, and never come back."""

    NODES_REPLACED = "nodes-replaced"
    """The same, and each one is replaced by a new node."""

    AGGREGATOR_KILLED = "aggregator-killed"
    """The aggregator dies and forgets everything; a new one starts later."""


DYING = 0.02
"""Part of the nodes that die."""

REPLACED_AFTER = 120.0
"""Seconds from the death of a node to the start of its successor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One simulation. Rates are bytes per second, sizes bytes, times seconds."""

    nodes: int
    images: int = 40
    layers: int = 10
    """Layers of each image, of equal size."""

    image_size: float = 125 * MEGABYTE
    registry_bandwidth: float = 100 * GIGABIT
    registry_requests: float | None = None
    """Requests per second that the registry allows; None: any number."""

    registry_burst: float | None = None
    """Requests that it allows at once, beyond; None: those of one second."""

    node_down: float = 10 * GIGABIT
    node_up: float = 10 * GIGABIT
    unpack_rate: float | None = None
    """Compressed bytes per second that a node unpacks; None: unpacking takes no time."""

    peers: bool = False
    """Nodes serve each other the layers that they have."""

    pulling_nodes: int | None = None
    """Tickets; None: no aggregator is asked."""

    growth: Growth = Growth.FIXED
    spread: float = 0.0
    """Seconds over which nodes without a ticket start."""

    max_delay: float = 600.0
    """Longest delay between two attempts of a pull."""

    failure: Failure | None = None
    fails_at: float | None = None
    """When it begins; None: after a quarter of the ideal time."""

    away: float = 300.0
    """How long the registry or the aggregator is away."""

    seed: int = 1

    @property
    def list_size(self) -> float:
        """Bytes of the whole list."""
        return self.images * self.image_size

    @property
    def layer_size(self) -> float:
        """Bytes of one layer."""
        return self.image_size / self.layers

    @property
    def requests_per_node(self) -> int:
        """Requests to the registry for the whole list, without peers."""
        return self.images * (SETUP_REQUESTS + self.layers)

    @property
    def burst(self) -> float:
        """Requests that the registry allows at once."""
        return self.registry_burst if self.registry_burst is not None else (self.registry_requests or 0.0)

    @property
    def needed_spread(self) -> float:
        """Seconds over which all nodes must start so that the registry can serve them: by its bytes and requests."""
        by_bytes = self.nodes * self.list_size / self.registry_bandwidth
        if self.registry_requests is None:
            return by_bytes
        return max(by_bytes, spread_needed(images=self.images, nodes=self.nodes, rate=self.registry_requests))

    def with_spread(self, spread: float) -> Self:
        """Return the same with another spread."""
        return replace(self, spread=spread)
