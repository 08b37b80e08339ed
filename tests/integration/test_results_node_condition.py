"""The node's condition and its events, by way of an API server over HTTPS: what runs of real programs make of them."""

import signal
from pathlib import Path
from typing import Any

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.keeping import Keep, remove
from tests.integration.reported import ENVIRONMENT, INSTANCE, NODE, ReportingNode
from tests.support.fake_kube import STALL, Failure
from tests.support.patience import eventually

pytestmark = pytest.mark.containerd

TYPE = f"nodeprefetch.io/{INSTANCE}"


@pytest.fixture
def image(fake_registry: FakeRegistry, request: pytest.FixtureRequest) -> str:
    """An image that no other test has."""
    return fake_registry.add("condition/app:1", make_image(seed=f"condition {request.node.name}"))


def condition(node: ReportingNode) -> tuple[str, str]:
    """Status and reason."""
    found = node.kube.conditions(NODE).get(TYPE, {})
    return found.get("status", ""), found.get("reason", "")


def reasons(node: ReportingNode) -> list[str]:
    """Of the events, in order."""
    return [event["reason"] for event in node.kube.events]


def writes(node: ReportingNode) -> list[Any]:
    """The conditions that were sent."""
    return [request.body for request in node.kube.requests if request.path.endswith("/status")]


def test_a_pull_is_seen_from_its_begin_to_its_end(node: ReportingNode, fake_registry: FakeRegistry, image: str) -> None:
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = node.start(image, node_condition=True)
    fetch.wait_for("node condition set")
    meanwhile = condition(node)
    fake_registry.heal()
    ended = fetch.end()

    assert ("False", "Pulling") == meanwhile
    assert (0, ("True", "ImagesPresent")) == (ended.code, condition(node))
    assert ["ImagesPrefetched"] == reasons(node)
    assert ["True"] == [line["status"] for line in ended.lines("node condition set")[1:]]
    assert "PATCH PATCH POST" == " ".join(node.kube.methods()[-3:])  # condition, label, event


def test_a_node_that_has_everything_is_read_once_and_written_no_more(node: ReportingNode, image: str) -> None:
    assert 0 == node.run(image, node_condition=True).code
    node.kube.requests.clear()

    ended = node.run(image, node_condition=True)

    assert (0, [], ["ImagesPrefetched"]) == (ended.code, writes(node), reasons(node))


def test_a_gate_that_gives_up_is_seen_while_the_pull_goes_on(
    node: ReportingNode, fake_registry: FakeRegistry, image: str
) -> None:
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = node.start(image, node_condition=True, gate_timeout="1s")
    fetch.wait_for("gate opened without all images")
    assert eventually(lambda: condition(node) == ("True", "GaveUp"))
    assert eventually(lambda: reasons(node) == ["ImagePrefetchGaveUp"])
    fake_registry.heal()
    ended = fetch.end()

    assert (0, ("True", "ImagesPresent")) == (ended.code, condition(node))
    assert ["ImagePrefetchGaveUp", "ImagesPrefetched"] == reasons(node)


def test_under_keep_it_stays_true_while_a_lost_image_is_pulled_again(
    node: ReportingNode, image: str, keep: Keep
) -> None:
    options = {"check_every": "1s", "kubeconfig": node.kubeconfig, "node_condition": True}
    running = keep(node.containerd, image, how={"environment": ENVIRONMENT}, **options)
    assert eventually(lambda: condition(node) == ("True", "ImagesPresent"))
    written = len(writes(node))

    remove(node.containerd, image)
    running.wait_until(lambda log: sum(line["msg"] == "image succeeded" for line in log) > 1, "the second pull")
    assert eventually(lambda: len(reasons(node)) > 1)

    assert (written, ["ImagesPrefetched", "ImagesPrefetched"]) == (len(writes(node)), reasons(node))
    assert ("True", "ImagesPresent") == condition(node)


def test_under_keep_lists_that_are_rejected_show_and_are_forgotten(
    node: ReportingNode, image: str, keep: Keep, tmp_path: Path
) -> None:
    lists = tmp_path / "images.txt"
    lists.write_text(image)
    options = {"check_every": "1s", "kubeconfig": node.kubeconfig, "node_condition": True, "image_list_file": lists}
    keep(node.containerd, how={"environment": ENVIRONMENT}, **options)
    assert eventually(lambda: condition(node) == ("True", "ImagesPresent"))

    lists.write_text(f"{image}\nno image at all\n")
    assert eventually(lambda: condition(node) == ("False", "ListInvalid"))
    said = node.kube.conditions(NODE)[TYPE]["message"]
    lists.write_text(image)

    assert eventually(lambda: condition(node) == ("True", "ImagesPresent"))
    assert f"{lists}:2: " in said
    assert said.endswith("using the last valid lists: 1 image present")
    assert "succeeded" == node.label


def test_events_that_cannot_be_created_make_no_run_say_everything_again(
    node: ReportingNode, image: str, keep: Keep
) -> None:
    """Requests for events hang, all others do not."""
    node.kube.fail(*[Failure(how=STALL, method="POST")] * 20)
    options = {"check_every": "10m", "refresh_every": "1s", "report_grace": "15s", "kubeconfig": node.kubeconfig}
    running = keep(node.containerd, image, how={"environment": ENVIRONMENT}, **options)

    running.wait_until(lambda log: sum(line["msg"] == "run finished" for line in log) > 1, "the second run")
    running.send(signal.SIGTERM)
    log = running.end().log

    assert ("succeeded", []) == (node.label, [line for line in log if line["msg"].startswith("node not")])
    (about_events,) = [line["msg"] for line in log if "event" in line["msg"]]
    assert about_events.startswith("cannot create node event: no time left: no answer ")
