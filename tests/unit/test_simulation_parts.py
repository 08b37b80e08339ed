"""The model behind the simulation: links, network, registry, ideal lines, and the figure."""

import argparse
import math
import xml.etree.ElementTree as ET
from random import Random

import pytest
from simulation.figure import draw, duration
from simulation.ideal import ideal_line, lower_bound
from simulation.link import Link
from simulation.network import Network
from simulation.quantities import parse_rate, parse_size
from simulation.registry import Registry
from simulation.run import simulate
from simulation.scenario import GIGABIT, Scenario

from nodeprefetch.tickets.growth import Growth


def facts(nodes: int, **values) -> Scenario:
    """A list of 5 GB, nodes with 10 Gbit/s, a registry with 100 Gbit/s."""
    return Scenario(nodes=nodes, **values)


def network(**values) -> tuple[Network, Registry]:
    """One image of two layers of 100 bytes; all rates are bytes per second."""
    values = {"node_down": 10, "node_up": 10, "registry_bandwidth": 20} | values
    scenario = Scenario(nodes=0, images=1, layers=2, image_size=200, **values)
    registry = Registry(scenario)
    return Network(scenario, registry, Random(1)), registry


def test_transfers_share_a_link():
    """Two get 10 bytes a second each until 10; then the second gets what it can take, 15."""
    link: Link[str] = Link(rate=20, cap=15)
    link.add("a", 100, 0)
    link.add("b", 175, 0)

    assert 10 == link.next_end()
    assert "a" == link.pop(10)
    assert 15 == link.next_end()
    assert 15 == link.throughput


def test_a_transfer_that_ends_early_leaves_its_rest():
    link: Link[str] = Link(rate=20, cap=20)
    link.add("a", 100, 0)
    link.add("b", 100, 0)

    assert 50 == link.remove("a", 5)
    assert 7.5 == link.next_end()
    assert ("b",) == link.items


def test_a_layer_comes_from_a_peer_as_soon_as_one_has_it():
    """The first layer is at the first node at 10; the second node gets it from there."""
    nodes, registry = network(peers=True)
    first, second = nodes.host(), nodes.host()
    nodes.download(first, 0, lambda: None, 0)
    nodes.advance(10)
    nodes.download(second, 0, lambda: None, 10)
    nodes.advance(30)

    assert (200, 200) == (nodes.registry_bytes, nodes.peer_bytes)
    assert 3 + 2 == registry.requests


def test_who_gets_a_layer_from_a_dead_node_goes_on_elsewhere():
    nodes, _ = network(peers=True)
    first, second = nodes.host(), nodes.host()
    nodes.download(first, 0, lambda: None, 0)
    nodes.advance(20)
    download = nodes.download(second, 0, lambda: None, 20)
    nodes.kill(first, 25)
    nodes.advance(40)

    assert download.is_over
    assert "" == download.error
    assert (200 + 150, 50) == (nodes.registry_bytes, nodes.peer_bytes)


def test_an_interrupted_download_keeps_its_bytes():
    nodes, registry = network()
    host = nodes.host()
    download = nodes.download(host, 0, lambda: None, 0)
    nodes.break_registry(15)
    assert "connection reset" in download.error
    refused = nodes.download(host, 0, lambda: None, 16)
    assert "connection refused" in refused.error
    nodes.mend_registry(20)
    again = nodes.download(host, 0, lambda: None, 20)
    nodes.advance(25)

    assert again.is_over
    assert 200 == nodes.registry_bytes
    assert not registry.is_away


def test_a_cancelled_download_lets_the_next_one_begin():
    nodes, _ = network()
    host = nodes.host()
    first = nodes.download(host, 0, lambda: None, 0)
    nodes.cancel(host, first, 5)

    assert math.inf == nodes.next_end()
    assert not host.queue


def test_a_registry_throttles_what_its_quota_does_not_allow():
    """10 requests a second, 5 at once: the sixth is too many, and says when there is one again."""
    registry = Registry(Scenario(nodes=1, registry_requests=10, registry_burst=5))

    assert "" == registry.request(5, 0)
    assert "429 Too Many Requests: toomanyrequests: retry-after: 100.000000ms" in registry.request(3, 0)
    assert "" == registry.request(1, 0.1)
    assert (7, 1) == (registry.requests, registry.throttled)


@pytest.mark.parametrize(("nodes", "end", "mean"), [(1000, 400, 202), (10_000, 4000, 2002)])
def test_the_ideal_of_ten_at_a_time(nodes, end, mean):
    line = ideal_line(facts(nodes, pulling_nodes=10))

    assert (end, mean) == (pytest.approx(line.end), pytest.approx(line.mean))
    assert pytest.approx(end) == lower_bound(facts(nodes))


@pytest.mark.parametrize(("nodes", "layers", "end"), [(1000, 1, 32), (1000, 10, 6.8), (10_000, 1, 44), (10_000, 10, 8)])
def test_the_ideal_of_doubling(nodes, layers, end):
    scenario = facts(nodes, layers=layers, pulling_nodes=10, growth=Growth.DOUBLING, peers=True)

    assert pytest.approx(end) == ideal_line(scenario).end
    assert 4 <= lower_bound(scenario) < 4.1


def test_a_quota_may_be_what_limits_the_ideal():
    """1,000 nodes x 520 requests, less the burst, at 733 a second."""
    scenario = facts(1000, pulling_nodes=10, registry_requests=733)

    assert pytest.approx((520_000 - 733) / 733) == ideal_line(scenario).end


@pytest.mark.parametrize(("text", "size"), [("125MB", 125e6), ("1.5G", 1.5e9), ("80Mi", 80 * 2**20), ("7", 7)])
def test_sizes(text, size):
    assert size == parse_size(text)


def test_rates_are_bits_or_bytes():
    assert (10 * GIGABIT, 50e6) == (parse_rate("10Gbit"), parse_rate("50MB/s"))
    for text in ("", "0", "fast", "10 Gbyte"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_rate(text)


def test_the_figure_is_one_small_document_with_both_lines():
    result = simulate(facts(20, images=2, pulling_nodes=2))
    root = ET.fromstring(draw(result))

    lines = {element.get("class") for element in root.iter("{http://www.w3.org/2000/svg}path")}
    assert {"warm", "ideal"} == lines
    assert "prefers-color-scheme: dark" in draw(result)


def test_durations_are_short():
    assert ("8.5 s", "90.0 s", "66.7 min", "11.1 h") == tuple(map(duration, (8.5, 90, 4000, 40_000)))
