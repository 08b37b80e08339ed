"""The zone, pool and age of a node at the aggregator, from the node object that a run reads anyway."""

from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.reported import INSTANCE, NODE, ReportingNode
from tests.support.aggregator_program import AggregatorProgram

pytestmark = pytest.mark.containerd


def test_a_run_that_labels_the_node_describes_it_without_another_request(
    node: ReportingNode, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    image = fake_registry.add("facts/app:1", make_image(seed=f"facts {fake_registry.address}"))
    node.kube.add_node(NODE, {"topology.kubernetes.io/zone": "eu-1a", "karpenter.sh/nodepool": "batch"})

    with AggregatorProgram(tmp_path, keeps=False) as aggregator:
        assert 0 == node.run(image, metrics_endpoint=aggregator.endpoint).code
        (found,) = [each for each in aggregator.status()["instances"] if each["instance"] == INSTANCE]

    assert ("eu-1a", "batch") == (found["nodes"][0]["zone"], found["nodes"][0]["pool"])
    assert ["GET", "PATCH"] == [each.method for each in node.kube.requests if each.path.endswith(f"nodes/{NODE}")]
