"""What a simulation has shown: times, peaks, and their ratios to the ideal line."""

import statistics
from dataclasses import dataclass

from simulation.cluster import Cluster
from simulation.ideal import Line, ideal_line, lower_bound, whole_nodes_line
from simulation.scenario import Scenario


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Times in seconds since the start of the first node, rates in bytes per second."""

    scenario: Scenario
    ideal: Line
    warm_at: tuple[float, ...]
    """When each node became warm, in order."""

    waited: tuple[float, ...]
    """How long each node took, from its own start."""

    nodes: int
    """All that ever started."""

    peak_pulling_nodes: int
    peak_registry_rate: float
    peak_registry_receivers: int
    """Most nodes that the registry served at once."""

    peak_requests: int
    """Most requests to the registry in one second."""

    requests: int
    throttled_requests: int
    ticket_requests: int
    registry_bytes: float
    peer_bytes: float
    cpu_seconds: float

    @property
    def end(self) -> float:
        """When the last node was warm."""
        return self.warm_at[-1]

    @property
    def mean(self) -> float:
        """Mean time of a node."""
        return statistics.fmean(self.waited)

    @property
    def end_ratio(self) -> float:
        """Of the end to that of the ideal line."""
        return self.end / self.ideal.end

    @property
    def mean_ratio(self) -> float:
        """Of the mean to that of the ideal line."""
        return self.mean / self.ideal.mean

    @property
    def whole_nodes(self) -> Line | None:
        """The ideal line of doubling where only warm nodes serve others; None: not doubling."""
        return whole_nodes_line(self.scenario)

    def to_json(self) -> dict[str, object]:
        """All numbers, for `--json`."""
        whole = self.whole_nodes
        return {
            "nodes": self.scenario.nodes,
            "images": self.scenario.images,
            "pulling_nodes": self.scenario.pulling_nodes,
            "growth": self.scenario.growth.value,
            "peers": self.scenario.peers,
            "spread_seconds": self.scenario.spread,
            "failure": self.scenario.failure.value if self.scenario.failure else None,
            "seed": self.scenario.seed,
            "end": round(self.end, 3),
            "mean": round(self.mean, 3),
            "ideal": self.ideal.name,
            "ideal_end": round(self.ideal.end, 3),
            "ideal_mean": round(self.ideal.mean, 3),
            "end_ratio": round(self.end_ratio, 4),
            "mean_ratio": round(self.mean_ratio, 4),
            "whole_nodes_end_ratio": round(self.end / whole.end, 4) if whole else None,
            "lower_bound": round(lower_bound(self.scenario), 3),
            "warm_nodes": len(self.warm_at),
            "dead_nodes": self.nodes - len(self.warm_at),
            "peak_pulling_nodes": self.peak_pulling_nodes,
            "peak_registry_bytes_per_second": round(self.peak_registry_rate),
            "peak_registry_receivers": self.peak_registry_receivers,
            "peak_requests_per_second": self.peak_requests,
            "requests": self.requests,
            "throttled_requests": self.throttled_requests,
            "ticket_requests": self.ticket_requests,
            "registry_bytes": round(self.registry_bytes),
            "peer_bytes": round(self.peer_bytes),
            "cpu_seconds": round(self.cpu_seconds, 1),
        }


def summarize(cluster: Cluster, *, cpu_seconds: float) -> Result:
    """Gather the numbers of a cluster whose nodes have all come to their end."""
    warm = [(node.warm_at, node.started) for node in cluster.nodes if node.warm_at is not None]
    network, registry = cluster.network, cluster.registry
    return Result(
        scenario=cluster.scenario,
        ideal=ideal_line(cluster.scenario),
        warm_at=tuple(sorted(at - cluster.started for at, _ in warm)),
        waited=tuple(at - started for at, started in warm),
        nodes=len(cluster.nodes),
        peak_pulling_nodes=cluster.peak_pulling,
        peak_registry_rate=network.peak_rate,
        peak_registry_receivers=network.peak_receivers,
        peak_requests=max(registry.by_second.values(), default=0),
        requests=registry.requests,
        throttled_requests=registry.throttled,
        ticket_requests=cluster.aggregator.requests,
        registry_bytes=network.registry_bytes,
        peer_bytes=network.peer_bytes,
        cpu_seconds=cpu_seconds,
    )
