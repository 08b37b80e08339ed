"""Runs a simulation."""

import gc
import time

import trio
import trio.testing

from simulation.cluster import Cluster
from simulation.failures import fail
from simulation.result import Result, summarize
from simulation.scenario import Scenario


def simulate(scenario: Scenario) -> Result:
    """Run a scenario to its end, and return what happened."""
    began = time.process_time()
    gc.disable()  # millions of objects live until the end
    try:
        cluster = trio.run(_run, scenario, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        gc.enable()
    return summarize(cluster, cpu_seconds=time.process_time() - began)


async def _run(scenario: Scenario) -> Cluster:
    cluster = Cluster(scenario)
    async with trio.open_nursery() as around:
        around.start_soon(cluster.wire.run)
        around.start_soon(cluster.aggregator.run)
        await trio.sleep_until(cluster.started)
        async with trio.open_nursery() as nodes:
            for _ in range(scenario.nodes):
                nodes.start_soon(cluster.live, cluster.add_node())
            around.start_soon(fail, cluster, nodes)
        around.cancel_scope.cancel()
    return cluster
