"""The ideal lines: how soon nodes can be warm at best, with what is set. Pure.

Symbols: N nodes, U bytes of the list, b a node's downlink, u its uplink, R the registry's egress, q requests of a node,
λ requests per second that the registry allows, n0 nodes that pull at once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nodeprefetch.tickets.growth import Growth
from simulation.scenario import Scenario


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """When nodes are warm at best."""

    name: str
    """Which line it is, with the numbers it was computed for."""

    steps: tuple[tuple[float, int], ...]
    """Seconds, and how many nodes become warm then."""

    @property
    def end(self) -> float:
        """Seconds until all nodes are warm."""
        return self.steps[-1][0]

    @property
    def mean(self) -> float:
        """Mean time of the nodes, seconds."""
        return sum(time * nodes for time, nodes in self.steps) / sum(nodes for _, nodes in self.steps)


def ideal_line(scenario: Scenario) -> Line:
    """Return the line for what is set: all at once, n0 at a time, or doubling."""
    limit = scenario.pulling_nodes
    if limit is None:
        return _all_at_once(scenario)
    if scenario.growth is Growth.DOUBLING and scenario.peers:
        return _doubling(scenario, limit, pieces=scenario.layers)
    return _in_turn(scenario, limit)


def whole_nodes_line(scenario: Scenario) -> Line | None:
    """Return the line of doubling where only warm nodes serve others (m = 1); None: not doubling."""
    if scenario.pulling_nodes is None or scenario.growth is Growth.FIXED or not scenario.peers:
        return None
    return _doubling(scenario, scenario.pulling_nodes, pieces=1)


def lower_bound(scenario: Scenario) -> float:
    """Return the time that no order of the nodes can beat, seconds.

    Without peers max(U/b, N·U/R, (N·q - burst)/λ); with them the fluid bound max(U/R, U/b, N·U/(R + N·u)).
    """
    size, nodes = scenario.list_size, scenario.nodes
    alone = size / scenario.node_down + _unpack(scenario)
    if scenario.peers:
        rate = scenario.registry_bandwidth
        return max(size / rate, alone, nodes * size / (rate + nodes * scenario.node_up))
    return max(alone, nodes * size / scenario.registry_bandwidth, _requests_time(scenario, nodes))


def _all_at_once(scenario: Scenario) -> Line:
    return Line(name="all at once", steps=((lower_bound(scenario), scenario.nodes),))


def _in_turn(scenario: Scenario, limit: int) -> Line:
    """n0 at a time: wave k is warm at k times what a wave takes, which is U/b, or n0·U/R if that is longer."""
    limit = min(limit, scenario.nodes)
    wave = scenario.list_size / min(scenario.node_down, scenario.registry_bandwidth / limit)
    steps, left = [], scenario.nodes
    for number in range(1, math.ceil(scenario.nodes / limit) + 1):
        nodes = min(limit, left)
        left -= nodes
        time = max(number * wave, _requests_time(scenario, scenario.nodes - left))
        steps.append((time + _unpack(scenario), nodes))
    return Line(name=f"{limit} nodes at a time", steps=tuple(steps))


def _doubling(scenario: Scenario, limit: int, *, pieces: int) -> Line:
    """Holders double with each of m equal pieces of a list: wave k is warm at (U/b)·(1 + k/m)."""
    limit = min(limit, scenario.nodes)
    alone = scenario.list_size / min(scenario.node_down, scenario.registry_bandwidth / limit)
    steps = [
        (alone * (1 + number / pieces) + _unpack(scenario), nodes)
        for number, nodes in enumerate(_doubling_waves(scenario.nodes, limit))
    ]
    unit = f"{pieces} pieces" if pieces > 1 else "whole nodes"
    return Line(name=f"doubling from {limit} nodes, {unit}", steps=tuple(steps))


def _doubling_waves(nodes: int, limit: int) -> Iterator[int]:
    """Yield how many nodes join the holders: n0, n0, 2·n0, 4·n0 and so on."""
    holders = 0
    while holders < nodes:
        wave = min(holders or limit, nodes - holders)
        holders += wave
        yield wave


def _requests_time(scenario: Scenario, nodes: int) -> float:
    if scenario.registry_requests is None:
        return 0.0
    return max(0.0, (nodes * scenario.requests_per_node - scenario.burst) / scenario.registry_requests)


def _unpack(scenario: Scenario) -> float:
    """Seconds to unpack the last image, while nothing is left to download."""
    return 0.0 if scenario.unpack_rate is None else scenario.image_size / scenario.unpack_rate
