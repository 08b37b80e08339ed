"""What goes wrong in the middle of a simulation."""

import trio

from simulation.cluster import Cluster, Node
from simulation.ideal import ideal_line
from simulation.scenario import DYING, REPLACED_AFTER, Failure, Scenario


def begin(scenario: Scenario) -> float:
    """Return when the registry or the aggregator goes away."""
    return ideal_line(scenario).end / 4 if scenario.fails_at is None else scenario.fails_at


async def fail(cluster: Cluster, nodes: trio.Nursery) -> None:
    """Do what the scenario says.

    Args:
        cluster: where it happens.
        nodes: for nodes that replace dead ones.
    """
    scenario = cluster.scenario
    match scenario.failure:
        case Failure.REGISTRY_AWAY:
            await trio.sleep_until(cluster.started + begin(scenario))
            cluster.network.break_registry(trio.current_time())
            await trio.sleep(scenario.away)
            cluster.network.mend_registry(trio.current_time())
        case Failure.AGGREGATOR_KILLED:
            await trio.sleep_until(cluster.started + begin(scenario))
            cluster.aggregator.kill()
            await trio.sleep(scenario.away)
            await cluster.aggregator.run()
        case Failure.NODES_DIE | Failure.NODES_REPLACED:
            alone = scenario.list_size / scenario.node_down
            for node in cluster.random.sample(cluster.nodes, round(scenario.nodes * DYING)):
                nodes.start_soon(_die, cluster, node, cluster.random.random() * alone, nodes)
        case None:
            pass


async def _die(cluster: Cluster, node: Node, after: float, nodes: trio.Nursery) -> None:
    """Kill a node some time after it began to pull."""
    await node.pulls.wait()
    await trio.sleep(after)
    if node.warm_at is not None:
        return
    cluster.kill(node)
    if cluster.scenario.failure is Failure.NODES_REPLACED:
        await trio.sleep(REPLACED_AFTER)
        nodes.start_soon(cluster.live, cluster.add_node())
