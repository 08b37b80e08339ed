"""The rules for many nodes, on the product's own code: 200 nodes, of which 10 may pull. See docs/scale.md."""

import pytest
from simulation.run import simulate
from simulation.scenario import GIGABIT, Failure, Scenario

from nodeprefetch.tickets.growth import Growth

SLOW = {"node_down": GIGABIT, "node_up": GIGABIT, "registry_bandwidth": 10 * GIGABIT}
"""A node alone takes 40 s, so all take 800 s, ten at a time: long enough for something to fail meanwhile."""


def scenario(**values) -> Scenario:
    """200 nodes, as the command line would have them."""
    values = {"nodes": 200, "pulling_nodes": 10} | values
    chosen = Scenario(**values)
    return chosen if "spread" in values else chosen.with_spread(chosen.needed_spread)


def test_all_at_once_every_node_waits_for_the_last():
    result = simulate(scenario(pulling_nodes=None, spread=0))

    assert pytest.approx(80, rel=0.01) == result.end
    assert pytest.approx(80, rel=0.01) == result.mean
    assert 200 == result.peak_registry_receivers


def test_tickets_halve_the_mean_without_a_later_end():
    """Aims: end 1.10, mean 1.25."""
    result = simulate(scenario())

    assert 1.01 > result.end_ratio
    assert 1.01 > result.mean_ratio
    assert 10 == result.peak_pulling_nodes == result.peak_registry_receivers


def test_nodes_far_back_in_the_queue_come_in_time():
    """500 nodes are more than those whose requests are kept open."""
    result = simulate(scenario(nodes=500))

    assert 1.01 > result.end_ratio


def test_fewer_nodes_than_the_registry_could_serve_is_what_was_set():
    """5 nodes at a time leave half of the registry's bandwidth: the ideal is that of 5."""
    result = simulate(scenario(pulling_nodes=5))

    assert pytest.approx(160) == result.ideal.end
    assert 1.01 > result.end_ratio
    assert pytest.approx(50 * GIGABIT) == result.peak_registry_rate


def test_without_tickets_a_spread_keeps_most_nodes_apart():
    """Nodes that start at random moments meet by chance: more than ten at times, but never the herd."""
    result = simulate(scenario(pulling_nodes=None))

    assert 1.2 > result.end_ratio
    assert 50 > result.peak_pulling_nodes


def test_doubling_takes_a_wave_for_each_doubling():
    """10, 20, 40, 80, 160, 200: six waves instead of twenty; peers are chosen at random, so some serve two at once."""
    result = simulate(scenario(growth=Growth.DOUBLING, peers=True))

    assert 1.5 > result.end / result.whole_nodes.end
    assert 100 >= result.peak_pulling_nodes
    assert 10 == result.peak_registry_receivers
    assert 10 * result.scenario.list_size >= result.registry_bytes


def test_a_node_that_dies_with_its_ticket_delays_the_others_a_minute():
    result = simulate(scenario(failure=Failure.NODES_DIE, **SLOW))

    assert 196 == len(result.warm_at)
    assert 1.1 > result.end_ratio
    assert 10 == result.peak_pulling_nodes


def test_nodes_that_replace_dead_ones_get_warm_too():
    result = simulate(scenario(failure=Failure.NODES_REPLACED, **SLOW))

    assert 200 == len(result.warm_at)
    assert 204 == result.nodes


def test_nobody_waits_for_ever_for_an_aggregator_and_nobody_stampedes():
    """It is away from 200 s to 500 s. After two minutes nodes start by their place in the spread of 800 s."""
    result = simulate(scenario(failure=Failure.AGGREGATOR_KILLED, **SLOW))

    assert 200 == len(result.warm_at)
    assert 1.5 > result.end_ratio
    assert 20 > result.peak_pulling_nodes


def test_an_aggregator_that_is_soon_back_is_waited_for():
    result = simulate(scenario(failure=Failure.AGGREGATOR_KILLED, away=60, **SLOW))

    assert 1.15 > result.end_ratio
    assert 10 == result.peak_pulling_nodes


def test_a_registry_that_returns_is_found_again_and_no_byte_is_fetched_twice():
    """Away for 300 s of 800: with delays of up to a minute it is found within one."""
    result = simulate(scenario(failure=Failure.REGISTRY_AWAY, max_delay=60, **SLOW))

    assert 200 == len(result.warm_at)
    assert 1100 + 120 > result.end
    assert pytest.approx(200 * result.scenario.list_size) == result.registry_bytes


def test_a_quota_is_kept_by_the_number_of_nodes():
    """GHCR's 44,000 requests a minute, as 733 a second: five nodes make 650."""
    result = simulate(scenario(pulling_nodes=5, registry_requests=733))

    assert 0.001 * result.requests >= result.throttled_requests
    assert 1.1 > result.end_ratio
