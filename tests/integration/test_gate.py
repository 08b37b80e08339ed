"""New nodes that take no pods until their images are there: real programs on a real containerd, a fake API server."""

from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.keeping import Keep, children, remove
from tests.integration.reported import ENVIRONMENT, NODE, ReportingNode
from tests.support.fake_kube import CLOSE, Failure
from tests.support.patience import eventually

pytestmark = pytest.mark.containerd

OURS, OTHER = {"key": "warm", "effect": "NoSchedule"}, {"key": "other", "effect": "NoSchedule"}
NOWHERE = "127.0.0.1:1/gate/missing:1"
"""Nobody listens there, and somebody may soon: pulls are retried."""

GATE = {"remove_taint": "warm:NoSchedule", "no_events": True}


@pytest.fixture
def image(fake_registry: FakeRegistry) -> str:
    return fake_registry.add("gate/image:1", make_image(seed=f"gate {fake_registry.address}"))


@pytest.fixture
def gated(node: ReportingNode) -> ReportingNode:
    """A new node, with taints."""
    node.kube.objects.set_taints(NODE, [OTHER, OURS])
    return node


def taints(node: ReportingNode) -> list[dict[str, str]]:
    return node.kube.objects.taints(NODE)


def test_a_new_node_takes_pods_once_it_has_its_images(gated: ReportingNode, image: str) -> None:
    ended = gated.run(image, **GATE)

    assert (0, "succeeded", [OTHER]) == (ended.code, gated.label, taints(gated))
    assert 1 == len(ended.lines("taints removed", taints=["warm:NoSchedule"]))


def test_it_takes_pods_in_mid_run_when_time_is_over(gated: ReportingNode, image: str) -> None:
    running = gated.start(image, NOWHERE, gate_timeout="3s", overall_timeout="8s", **GATE)
    running.wait_for("taints removed")
    meanwhile = taints(gated), gated.label
    ended = running.end()

    assert ([OTHER], None) == meanwhile
    assert (1, "failed", True) == (ended.code, gated.label, gated.summary["gave_up"])
    (line,) = ended.lines("gate opened without all images")
    assert ([NOWHERE], 1) == (line["missing"], line["count"])
    assert line["after"] >= 3


def test_a_restarted_container_goes_on_counting(gated: ReportingNode, image: str, tmp_path: Path) -> None:
    how = {"gate_file": tmp_path / "first-run", "gate_timeout": "6s", **GATE}
    first = gated.run(image, NOWHERE, overall_timeout="2s", **how)
    before = taints(gated)
    second = gated.run(image, NOWHERE, overall_timeout="15s", **how)

    assert (1, [], [OTHER, OURS]) == (first.code, first.lines("gate opened without all images"), before)
    (line,) = second.lines("gate opened without all images")
    assert [OTHER] == taints(gated)
    assert line["after"] >= 6
    assert second.log[0]["time"] < line["time"]


def test_taints_that_cannot_be_removed_are_a_failure(gated: ReportingNode, image: str) -> None:
    gated.kube.fail(*2 * [Failure(status=403, method="PATCH")])  # of label and taints
    ended = gated.run(image, **GATE)

    assert (4, [OTHER, OURS]) == (ended.code, taints(gated))
    assert any("cannot remove taints" in line["msg"] or "taints not removed" in line["msg"] for line in ended.log)


def test_keep_tries_again_when_the_api_server_is_back(gated: ReportingNode, image: str, keep: Keep) -> None:
    # Loading what reads the kubeconfig takes seconds on a busy machine.
    options = {"kubeconfig": gated.kubeconfig, "report_grace": "20s", "check_every": "1s", **GATE}
    gated.kube.fail(*500 * [Failure(how=CLOSE)])
    running = keep(gated.containerd, image, how={"environment": ENVIRONMENT}, **options)

    line = running.wait_for("run failed, retrying")
    assert line["error"].startswith("startup taints of the node could not be removed")
    assert [OTHER, OURS] == taints(gated)
    gated.kube.failures.clear()

    assert eventually(lambda: taints(gated) == [OTHER])
    assert eventually(lambda: gated.label == "succeeded")


def test_keep_starts_a_run_when_time_is_over(gated: ReportingNode, keep: Keep) -> None:
    """The first run has failed for good, and the next try is a minute away."""
    options = {"kubeconfig": gated.kubeconfig, "check_every": "10m", "gate_timeout": "5s", **GATE}
    running = keep(gated.containerd, NOWHERE, how={"environment": ENVIRONMENT}, overall_timeout="1s", **options)
    running.wait_for("run failed, retrying")
    before = taints(gated)

    line = running.wait_for("gate opened without all images")

    assert ([OTHER, OURS], True) == (before, line["after"] >= 5)
    assert eventually(lambda: taints(gated) == [OTHER])


def test_an_image_that_is_removed_later_closes_nothing_and_checks_call_nobody(
    gated: ReportingNode, fake_registry: FakeRegistry, image: str, keep: Keep
) -> None:
    options = {"kubeconfig": gated.kubeconfig, "check_every": "1s", "overall_timeout": "3s", "gate_timeout": "2s"}
    running = keep(gated.containerd, image, how={"environment": ENVIRONMENT}, **options, **GATE)
    running.wait_for("gate opened")
    assert eventually(lambda: taints(gated) == [OTHER] and gated.label == "succeeded")

    fake_registry.stop()
    gated.kube.objects.set_taints(NODE, [OURS])  # somebody else's doing
    calls, checks = len(gated.kube.requests), set[int]()
    assert eventually(lambda: checks.update(children(running.pid)) or len(checks) > 2)
    assert calls == len(gated.kube.requests)
    remove(gated.containerd, image)
    assert eventually(lambda: gated.label == "failed")
    meanwhile = taints(gated)
    fake_registry.start()

    assert eventually(lambda: gated.label == "succeeded")
    assert eventually(lambda: taints(gated) == [])  # all images are there, as after a new registration
    assert [OURS] == meanwhile
    log = running.wait_until(lambda _: True, "")
    assert 1 == len([line for line in log if line["msg"].startswith("gate opened")])
