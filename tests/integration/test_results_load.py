"""A cluster that reports all at once: nothing is lost, nothing is there twice, memory is bounded."""

from pathlib import Path

from tests.support.aggregator_program import AggregatorProgram
from tests.support.node_load import Load, send

MEGABYTE = 1_000_000


def test_two_hundred_nodes_report_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with AggregatorProgram(tmp_path) as aggregator:
        load = Load(nodes=200, images=50, connections=50, port=aggregator.http_port)
        sent = send(load)
        resident, results = aggregator.memory("VmRSS"), aggregator.results()
        pages, query = [], "?limit=5000"
        while query:
            pages.append(aggregator.status(query))
            query = f"?limit=5000&cursor={pages[-1]['next']}" if pages[-1]["next"] else ""
        text = aggregator.ask("/metrics", accept="text/plain").body.decode()

    assert () == sent.refused
    assert load.attempts == len(sent.acknowledged) == len(results)
    assert sent.acknowledged == {result["attempt_id"] for result in results}
    assert resident < 250 * MEGABYTE

    nodes = [node for page in pages for instance in page["instances"] for node in instance["nodes"]]
    assert {f"node-{number}" for number in range(load.nodes)} == {node["node"] for node in nodes}
    assert {("succeeded", load.images)} == {(node["state"], node["counts"]["succeeded"]) for node in nodes}
    assert load.nodes * load.images == sum(len(node["images"]) for node in nodes)

    lines = text.splitlines()
    assert f'nodeprefetch_nodes{{instance="load",state="succeeded"}} {load.nodes:.1f}' in lines
    assert (
        f'nodeprefetch_attempts_total{{error_class="passing",outcome="failed"}} {load.attempts - load.nodes * 50:.1f}'
        in lines
    )
