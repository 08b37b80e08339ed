"""A simulated cluster: all its nodes, from their start until they are warm or dead."""

import uuid
from dataclasses import dataclass, field
from random import Random

import trio

from nodeprefetch.pull.run import fetch
from nodeprefetch.settings import FetchSettings
from nodeprefetch.tickets.client import Ticket
from nodeprefetch.tickets.messages import TicketRequest, TicketState
from nodeprefetch.tickets.office import RESTART_GRACE
from nodeprefetch.tickets.spread import place
from nodeprefetch.values.retry import RetryPolicy
from simulation.aggregator import Aggregator
from simulation.network import Host, Network
from simulation.registry import Registry
from simulation.runtime import NoCredentials, SimulatedRuntime, image_list
from simulation.scenario import Scenario
from simulation.wire import STEPS, Wire

TICKET_WAIT = 120.0
"""Seconds without an answer after which a node goes by the spread."""

AGGREGATOR_LEAD = 2 * RESTART_GRACE
"""Seconds for which the aggregator runs before the nodes start."""

_NEVER = 1e9
"""Seconds. Transfers do not stall here, and attempts end after time without movement, not after elapsed time."""


@dataclass(kw_only=True, slots=True, eq=False)
class Node:
    """A node, and what became of it."""

    name: str
    host: Host
    started: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    pulls: trio.Event = field(default_factory=trio.Event)
    """Set once it pulls."""

    warm_at: float | None = None


class Cluster:
    """All nodes with what they share. Runs on Trio.

    Args:
        scenario: what to simulate.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = Random(scenario.seed)
        self.registry = Registry(scenario)
        self.network = Network(scenario, self.registry, self.random)
        self.wire = Wire(self.network, scenario.image_size / scenario.node_down / STEPS)
        self.aggregator = Aggregator(scenario)
        self.started = trio.current_time() + AGGREGATOR_LEAD
        """When the first nodes start."""

        self.nodes: list[Node] = []
        self.pulling: set[Node] = set()
        self.peak_pulling = 0
        self._images = image_list(scenario)
        self._numbers = {image.text: number for number, image in enumerate(self._images)}
        self._credentials = NoCredentials()
        self._settings = FetchSettings(
            retry=RetryPolicy(initial_timeout=_NEVER, max_timeout=_NEVER, max_delay=scenario.max_delay),
            overall_timeout=_NEVER,
        )

    def add_node(self) -> Node:
        """Add a node that starts now."""
        node = Node(name=f"node-{len(self.nodes)}", host=self.network.host(), started=trio.current_time())
        self.nodes.append(node)
        return node

    async def live(self, node: Node) -> None:
        """Take a node from its start to its end."""
        with node.scope:
            if self.scenario.pulling_nodes is None:
                await trio.sleep(place("", node.name) * self.scenario.spread)
                await self._pull(node)
            else:
                await self._pull_with_ticket(node)

    def kill(self, node: Node) -> None:
        """Turn a node off."""
        node.scope.cancel()
        self.pulling.discard(node)
        self.network.kill(node.host, trio.current_time())
        self.wire.look()

    async def _pull_with_ticket(self, node: Node) -> None:
        ticket = Ticket(
            self.aggregator.ask,
            TicketRequest(node=node.name, run_id=str(uuid.uuid4()), state=TicketState.WAITING),
            patience=TICKET_WAIT,
            spread=self.scenario.spread,
            jitter=self.random.random,
        )
        await ticket.obtain()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticket.keep)
            await self._pull(node)
            nursery.cancel_scope.cancel()
        await ticket.give_back(is_warm=True)

    async def _pull(self, node: Node) -> None:
        node.pulls.set()
        self.pulling.add(node)
        self.peak_pulling = max(self.peak_pulling, len(self.pulling))
        runtime = SimulatedRuntime(self.scenario, self.wire, node.host, self._numbers)
        report = await fetch(
            self._images,
            self._settings,
            connect=runtime.connect,
            credentials=self._credentials,
            emit=lambda _: None,
            jitter=self.random.random,
        )
        self.pulling.discard(node)
        if not report.failed:
            node.warm_at = trio.current_time()
