"""Transfers of a simulation: who gets which layers from whom, and when they are there. Pure: time is an argument.

A node downloads one layer after another at its full rate; what its pulls download is queued in their order. That brings
the same bytes in the same time as several layers at once.

With peers, a layer comes from a node that has it, the least busy of three, as a mirror on each node would; only if none
has it yet, the registry is asked. A node that downloads a layer does not serve it before it is complete.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from simulation.link import Link
from simulation.registry import AWAY, BROKEN, Registry
from simulation.scenario import SETUP_REQUESTS, Scenario

ASKED_PEERS = 3
"""Peers that are considered for a layer."""


@dataclass(kw_only=True, slots=True, eq=False)
class Download:
    """One image that a node downloads."""

    image: int
    on_end: Callable[[], None]
    """Called when it is over."""

    is_set_up: bool = False
    """Its manifest is there."""

    is_over: bool = False
    error: str = ""
    """Why it failed; empty if it is complete."""


@dataclass(kw_only=True, slots=True, eq=False)
class Host:
    """A node in the network."""

    uplink: "Link[Host]"
    queue: deque[Download] = field(default_factory=deque)
    layers: dict[int, int] = field(default_factory=dict)
    """Complete layers by image, which interrupted pulls keep."""

    rest: dict[int, float] = field(default_factory=dict)
    """Bytes missing of a layer that an interrupted transfer has begun, by image."""

    source: "Link[Host] | None" = None
    """Where the current transfer comes from."""

    run: int = 0
    """Layers of the current transfer."""

    size: float = 0.0
    """Its bytes."""

    is_alive: bool = True


class Network:
    """All links.

    Args:
        scenario: has their rates.
        registry: asked for what no peer has.
        random: selects peers.
    """

    def __init__(self, scenario: Scenario, registry: Registry, random: Random) -> None:
        self._scenario = scenario
        self._registry = registry
        self._random = random
        self._egress: Link[Host] = Link(rate=scenario.registry_bandwidth, cap=scenario.node_down)
        self._now = 0.0
        self._ends: list[tuple[float, int, Link[Host]]] = []
        self._counter = itertools.count()
        self._holders: dict[tuple[int, int], list[Host]] = {}
        """Nodes that have a layer, by image and layer."""

        self._is_by_layer = scenario.peers or scenario.registry_requests is not None
        self.registry_bytes = 0.0
        self.peer_bytes = 0.0
        self.peak_rate = 0.0
        """Highest rate of the registry, bytes per second."""

        self.peak_receivers = 0
        """Most nodes that the registry served at once."""

    def host(self) -> Host:
        """Add a node."""
        return Host(uplink=Link(rate=self._scenario.node_up, cap=self._scenario.node_down))

    def download(self, host: Host, image: int, on_end: Callable[[], None], now: float) -> Download:
        """Queue an image for a node."""
        self.advance(now)
        download = Download(image=image, on_end=on_end)
        host.queue.append(download)
        self._begin(host)
        return download

    def cancel(self, host: Host, download: Download, now: float) -> None:
        """Interrupt a download. What is there is kept."""
        self.advance(now)
        if download.is_over:
            return
        if host.queue[0] is download:
            self._interrupt(host)
        host.queue.remove(download)
        self._begin(host)

    def kill(self, host: Host, now: float) -> None:
        """A node dies. Those that it serves go on with another source."""
        self.advance(now)
        host.is_alive = False
        self._interrupt(host)
        for download in host.queue:
            download.is_over = True
        host.queue.clear()
        for receiver in host.uplink.items:
            self._interrupt(receiver)
            self._begin(receiver)

    def break_registry(self, now: float) -> None:
        """The registry goes away: all that it sends ends with an error."""
        self.advance(now)
        self._registry.is_away = True
        for host in self._egress.items:
            self._interrupt(host)
            self._end(host, BROKEN)
            self._begin(host)

    def mend_registry(self, now: float) -> None:
        """The registry is back."""
        self.advance(now)
        self._registry.is_away = False

    def next_end(self) -> float:
        """When the next transfer is complete; infinite if there is none."""
        while self._ends:
            time, _, link = self._ends[0]
            if link.due == time:
                return time
            heapq.heappop(self._ends)
        return math.inf

    def advance(self, now: float) -> None:
        """Let time pass."""
        while (time := self.next_end()) <= now:
            _, _, link = heapq.heappop(self._ends)
            self._now = time
            host = link.pop(time)
            self._schedule(link)
            self._take(host)
        self._now = now

    def _take(self, host: Host) -> None:
        """The current transfer is complete."""
        assert host.source is not None
        self._count(host.source, host.size)
        host.source = None
        image = host.queue[0].image
        host.rest.pop(image, None)
        self._add_layers(host, image, host.run)
        if host.layers[image] == self._scenario.layers:
            self._end(host)
        self._begin(host)

    def _interrupt(self, host: Host) -> None:
        """End the current transfer, and keep what is there."""
        if host.source is None:
            return
        link, host.source = host.source, None
        got = host.size - link.remove(host, self._now)
        self._schedule(link)
        self._count(link, got)
        image, size = host.queue[0].image, self._scenario.layer_size
        had = size - host.rest.get(image, size)
        complete, begun = divmod(had + got, size)
        host.rest[image] = size - begun
        self._add_layers(host, image, int(complete))

    def _begin(self, host: Host) -> None:
        """Begin the next transfer of a node, if there is one to begin."""
        while host.queue and host.source is None:
            download = host.queue[0]
            have = host.layers.get(download.image, 0)
            if have == self._scenario.layers:
                self._end(host)
                continue
            link, run = self._find_source(download.image, have)
            if link is self._egress and (error := self._ask(download, run)):
                self._end(host, error)
                continue
            self._start(host, link, run)

    def _find_source(self, image: int, have: int) -> "tuple[Link[Host], int]":
        """Where the next layers come from, and how many in one go.

        From a node with the whole image comes all that is missing. That saves events, and delays nobody: who wants one
        of these layers gets it from such a node, too.
        """
        missing = self._scenario.layers - have
        if self._scenario.peers:
            for layer, run in ((self._scenario.layers - 1, missing), (have, 1)):
                peer = self._pick(self._holders.get((image, layer)))
                if peer is not None:
                    return peer.uplink, run
        return self._egress, 1 if self._is_by_layer else missing

    def _pick(self, holders: list[Host] | None) -> Host | None:
        """Select the least busy of a few random ones."""
        best = None
        for _ in range(ASKED_PEERS if holders else 0):
            assert holders is not None
            host = holders[int(self._random.random() * len(holders))]
            if host.is_alive and (best is None or len(host.uplink) < len(best.uplink)):
                best = host
        return best

    def _ask(self, download: Download, run: int) -> str:
        """Ask the registry for layers. Returns its error; empty: none."""
        if self._registry.is_away:
            return AWAY
        setup = 0 if download.is_set_up else SETUP_REQUESTS
        error = self._registry.request(setup + run, self._now)
        download.is_set_up = not error
        return error

    def _start(self, host: Host, link: "Link[Host]", run: int) -> None:
        size = self._scenario.layer_size
        host.source, host.run = link, run
        host.size = (run - 1) * size + host.rest.get(host.queue[0].image, size)
        link.add(host, host.size, self._now)
        self._schedule(link)
        if link is self._egress:
            self.peak_rate = max(self.peak_rate, link.throughput)
            self.peak_receivers = max(self.peak_receivers, len(link))

    def _end(self, host: Host, error: str = "") -> None:
        download = host.queue.popleft()
        download.error, download.is_over = error, True
        download.on_end()

    def _add_layers(self, host: Host, image: int, count: int) -> None:
        have = host.layers.get(image, 0)
        host.layers[image] = have + count
        if self._scenario.peers:
            for layer in range(have, have + count):
                self._holders.setdefault((image, layer), []).append(host)

    def _count(self, link: "Link[Host]", size: float) -> None:
        if link is self._egress:
            self.registry_bytes += size
        else:
            self.peer_bytes += size

    def _schedule(self, link: "Link[Host]") -> None:
        link.due = link.next_end()
        if link.due < math.inf:
            heapq.heappush(self._ends, (link.due, next(self._counter), link))
