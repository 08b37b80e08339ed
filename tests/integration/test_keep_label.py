"""The node's label under `keep`: it follows what is on the node, and does not flap."""

import signal
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.keeping import Keep, children, remove
from tests.integration.reported import ENVIRONMENT, ReportingNode
from tests.support.cluster_objects import digest_of
from tests.support.fake_kube import CLOSE, Failure
from tests.support.patience import eventually

pytestmark = pytest.mark.containerd


@pytest.fixture
def images(fake_registry: FakeRegistry) -> tuple[str, str]:
    """A tag that may move, and one that does not."""
    moving = fake_registry.add("label/moving:latest", make_image(seed=f"moving {fake_registry.address}"))
    fixed = fake_registry.add("label/fixed:1", make_image(seed=f"fixed {fake_registry.address}"))
    return moving, fixed


def test_refreshes_that_find_nothing_new_ask_the_registry_once_and_the_api_server_never(
    node: ReportingNode, fake_registry: FakeRegistry, images: tuple[str, str], keep: Keep
) -> None:
    how = {"environment": ENVIRONMENT}
    keep(node.containerd, *images, how=how, kubeconfig=node.kubeconfig, check_every="10m", refresh_every="1s")
    assert eventually(lambda: node.label == "succeeded")
    assert eventually(lambda: len(fake_registry.requests.of(method="HEAD", repository="label/moving")) > 1)
    calls = len(node.kube.requests)
    seen = len(fake_registry.requests)

    assert eventually(lambda: len(fake_registry.requests) > seen + 2)

    assert calls == len(node.kube.requests)
    assert "succeeded" == node.label
    assert {("HEAD", "label/moving")} == {
        (each.method, each.repository) for each in fake_registry.requests.all()[seen:] if each.repository
    }


def test_it_stays_while_a_registry_is_down_and_goes_when_an_image_cannot_be_pulled_again(
    node: ReportingNode, fake_registry: FakeRegistry, images: tuple[str, str], keep: Keep
) -> None:
    moving, fixed = images
    options = {"check_every": "1s", "refresh_every": "2s", "overall_timeout": "5s", "kubeconfig": node.kubeconfig}
    running = keep(node.containerd, moving, fixed, how={"environment": ENVIRONMENT}, **options)
    assert eventually(lambda: node.label == "succeeded")

    fake_registry.stop()
    assert "connection refused" in running.wait_for("image present", image=moving, level="WARN")["error"]
    assert "succeeded" == node.label
    remove(node.containerd, fixed)
    assert eventually(lambda: node.label == "failed")
    fake_registry.start()

    assert eventually(lambda: node.label == "succeeded")
    running.send(signal.SIGTERM)
    assert 128 + signal.SIGTERM == running.end().code


def test_a_run_that_an_edit_stops_does_not_write_failed(
    node: ReportingNode, fake_registry: FakeRegistry, images: tuple[str, str], keep: Keep, tmp_path: Path
) -> None:
    """The label of an earlier list goes as soon as an image is missing, and the next run writes the next one."""
    stalled = fake_registry.add("label/stalled:1", make_image(seed=f"stalled {fake_registry.address}"))
    fake_registry.fail("layer", Fault.stall(), image="label/stalled:1", forever=True)
    file = tmp_path / "images.txt"
    file.write_text(stalled)
    node.promise()
    how = {"environment": ENVIRONMENT}
    running = keep(node.containerd, how=how, image_list_file=file, kubeconfig=node.kubeconfig, check_every="200ms")
    running.wait_for("pulling", image=stalled)
    assert eventually(lambda: node.label is None)

    file.write_text(images[1])
    running.wait_for("node labeled", value="succeeded")

    running.send(signal.SIGTERM)
    ended = running.end()
    assert [("removed stale node label", None), ("node labeled", "succeeded")] == [
        (line["msg"], line.get("value")) for line in ended.log if "label" in line["msg"]
    ]
    assert "cancelled: the image list has changed" == ended.result(stalled)["error"]


def test_the_annotation_names_the_list_of_now_also_if_its_images_were_there(
    node: ReportingNode, images: tuple[str, str], keep: Keep, tmp_path: Path
) -> None:
    file = tmp_path / "images.txt"
    file.write_text("\n".join(images))
    running = keep(
        node.containerd,
        image_list_file=file,
        how={"environment": ENVIRONMENT},
        kubeconfig=node.kubeconfig,
        check_every="5s",
    )
    assert eventually(lambda: node.label == "succeeded")
    assert eventually(lambda: not children(running.pid))
    assert digest_of(images) == node.summary["list_digest"]

    file.write_text(images[1])

    assert eventually(lambda: node.summary["list_digest"] == digest_of([images[1]]))
    assert (1, "succeeded") == (node.summary["present"], node.label)


@pytest.mark.parametrize("failure", [Failure(how=CLOSE), Failure(status=403)], ids=["closes", "refuses"])
def test_it_comes_when_the_api_server_is_back(
    node: ReportingNode, images: tuple[str, str], keep: Keep, failure: Failure
) -> None:
    """Nobody takes what the first run says. All images are there then: only the label is left to do."""
    node.kube.fail(*[failure] * 1_000)
    running = keep(node.containerd, *images, how=node.how, report_grace="3s")
    running.wait_for("node not updated, retrying")
    assert node.label is None

    node.kube.failures.clear()

    assert eventually(lambda: node.label == "succeeded")
