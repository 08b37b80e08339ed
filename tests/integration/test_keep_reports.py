"""What an aggregator knows of nodes that run `keep`, also after it has lost everything."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.registry import FakeRegistry
from tests.conftest import CONTAINERDS
from tests.integration.keeping import Keep, remove, requests_for_images, serve
from tests.integration.reported import ENVIRONMENT, INSTANCE, NODE, ReportingNode
from tests.support.aggregator_program import AggregatorProgram
from tests.support.patience import eventually

pytestmark = pytest.mark.containerd


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[AggregatorProgram]:
    """With a database on disk."""
    with AggregatorProgram(tmp_path) as running:
        yield running


def rejection(aggregator: AggregatorProgram) -> dict[str, object] | None:
    """What the status says of the node's lists; None: nothing, or the node is not known."""
    nodes = [node for instance in aggregator.status()["instances"] for node in instance["nodes"]]
    found: dict[str, object] | None = nodes[0].get("list_rejected") if nodes else None
    return found


@pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)
def test_an_aggregator_that_has_lost_its_database_knows_the_node_again_and_nobody_else_is_asked(
    node: ReportingNode, fake_registry: FakeRegistry, aggregator: AggregatorProgram, keep: Keep
) -> None:
    """The tag `latest` has the policy Always: only a refresh would ask for it. With tickets, as their office forgets
    with each restart which nodes are warm."""
    moving, _ = serve(fake_registry, node.containerd, "reports/moving:latest")
    fixed, _ = serve(fake_registry, node.containerd, "reports/fixed:1")
    keep(
        node.containerd,
        moving,
        fixed,
        how={"environment": ENVIRONMENT},
        kubeconfig=node.kubeconfig,
        metrics_endpoint=aggregator.endpoint,
        check_every="1h",
        report_every="3s",
        tickets=True,
    )
    assert eventually(lambda: set(aggregator.states(INSTANCE, NODE).values()) == {"present"})  # a report, by now
    before = digests(aggregator)
    calls, asked = len(node.kube.requests), len(fake_registry.requests)

    aggregator.stop()
    shutil.rmtree(aggregator.data_dir)
    aggregator.start()

    assert eventually(lambda: aggregator.states(INSTANCE, NODE) == {moving: "present", fixed: "present"})
    assert eventually(lambda: aggregator.status()["tickets"][INSTANCE]["warm"] == 1)
    assert before == digests(aggregator)
    assert all(before.values())
    assert calls == len(node.kube.requests)
    assert [] == requests_for_images(fake_registry, asked)


def digests(aggregator: AggregatorProgram) -> dict[str, str]:
    (instance,) = aggregator.status()["instances"]
    return {image["image"]: image["digest"] for image in instance["nodes"][0]["images"]}


def test_a_list_is_rejected_and_mended_in_the_status_too(
    node: ReportingNode, fake_registry: FakeRegistry, aggregator: AggregatorProgram, keep: Keep, tmp_path: Path
) -> None:
    name, _ = serve(fake_registry, node.containerd, "reports/listed:1")
    file = tmp_path / "images.txt"
    file.write_text(f"{name}\n")
    options = {"image_list_file": file, "check_every": "1s", "metrics_endpoint": aggregator.endpoint}
    running = keep(node.containerd, how={"environment": ENVIRONMENT}, kubeconfig=node.kubeconfig, **options)
    assert eventually(lambda: aggregator.states(INSTANCE, NODE))

    file.write_text(f"{name}\nhttps://user:s3cret@registry.example/app:1\n")
    assert eventually(lambda: rejection(aggregator))
    invalid = rejection(aggregator)
    file.unlink()
    running.wait_for("cannot read an image list, the last valid lists stay in force")
    assert eventually(lambda: "No such file" in str(rejection(aggregator)))
    file.write_text(f"{name}\n")
    assert eventually(lambda: not rejection(aggregator))
    assert eventually(lambda: aggregator.states(INSTANCE, NODE)[name] == "present")

    assert invalid
    assert 1 == invalid["problems"]
    assert str(invalid["problem"]).startswith(f"{file}:2: ")
    assert "s3cret" not in str(invalid)
    remove(node.containerd, name)


def test_news_that_an_aggregator_has_missed_are_reported_soon_after(
    node: ReportingNode, fake_registry: FakeRegistry, aggregator: AggregatorProgram, keep: Keep, tmp_path: Path
) -> None:
    first, _ = serve(fake_registry, node.containerd, "missed/first:1")
    second, _ = serve(fake_registry, node.containerd, "missed/second:1")
    file = tmp_path / "images.txt"
    file.write_text(f"{first}\n")
    options = {
        "image_list_file": file,
        "check_every": "1s",
        "report_grace": "1s",
        "metrics_endpoint": aggregator.endpoint,
    }
    running = keep(node.containerd, how={"environment": {"INSTANCE_NAME": INSTANCE}}, **options)
    assert eventually(lambda: aggregator.status()["instances"])

    aggregator.stop()
    file.write_text(f"{second}\n")
    running.wait_until(
        lambda log: any("did not acknowledge" in line["msg"] for line in log), "news that did not arrive"
    )
    aggregator.start()

    assert eventually(lambda: second in aggregator.ask("/v1/status").body.decode())
