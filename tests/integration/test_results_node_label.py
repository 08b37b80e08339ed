"""The node's label after every kind of end, by way of an API server over HTTPS."""

import signal
import time
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Ended, RunFetch, seconds_to_end
from tests.integration.reported import ENVIRONMENT, INSTANCE, LABEL, LABELS, NODE, SUMMARY, ReportingNode
from tests.support.cluster_objects import digest_of
from tests.support.containerd import Containerd
from tests.support.fake_kube import CLOSE, STALL, Failure, FakeKube
from tests.support.proxy import FaultProxy

IN_ORDER = 20.0
"""Seconds in which a run has to end after a signal: loading what speaks to the API server may be part of it."""


@pytest.fixture
def image(fake_registry: FakeRegistry, request: pytest.FixtureRequest) -> str:
    """An image that no other test has."""
    return fake_registry.add("label/app:1", make_image(seed=f"label {request.node.name}"))


def counted(node: ReportingNode) -> dict[str, object]:
    """The annotation, without what is different each time."""
    found = node.summary
    assert {"time", "version"} <= set(found)
    return {name: value for name, value in found.items() if name not in {"time", "version"}}


def warnings(ended: Ended) -> list[str]:
    """What the log says of the label as something to look into, one line for each message."""
    return [line["msg"] for line in ended.log if line["level"] == "WARN" and "label" in line["msg"]]


@pytest.mark.containerd
def test_a_node_that_has_everything_succeeded(node: ReportingNode, image: str) -> None:
    ended = node.run(image)

    assert (0, "succeeded", []) == (ended.code, node.label, warnings(ended))
    assert [(LABEL, "succeeded")] == [(line["key"], line["value"]) for line in ended.lines("node labeled")]
    assert {
        "result": "succeeded",
        "end": "finished",
        "images": 1,
        "succeeded": 1,
        "present": 0,
        "failed": 0,
        "list_digest": digest_of([image]),
    } == counted(node)


@pytest.mark.containerd
def test_as_its_node_every_request_about_it_names_its_user(node: ReportingNode, image: str) -> None:
    ended = node.run(image, node_access="impersonate")

    assert (0, "succeeded", []) == (ended.code, node.label, warnings(ended))
    about_the_node = [request.user for request in node.kube.requests if "/nodes/" in request.path]
    assert {f"system:node:{NODE}"} == {*about_the_node}


@pytest.mark.containerd
@pytest.mark.parametrize(("options", "code"), [({}, 1), ({"allow_failures": True}, 0)])
def test_a_node_that_lacks_an_image_failed(
    node: ReportingNode, fake_registry: FakeRegistry, image: str, options: dict[str, object], code: int
) -> None:
    """Also where the exit code is to say nothing of it."""
    missing = f"{fake_registry.address}/label/missing:1"

    ended = node.run(image, missing, **options)

    assert (code, "failed") == (ended.code, node.label)
    assert {
        "result": "failed",
        "end": "finished",
        "images": 2,
        "succeeded": 1,
        "present": 0,
        "failed": 1,
        "first_failure": {
            "image": missing,
            "error": ended.result(missing)["error"],
            "error_class": "permanent",
            "reason": "not_found",
        },
        "list_digest": digest_of([image, missing]),
    } == counted(node)


@pytest.mark.containerd
def test_a_run_out_of_time_still_says_failed(node: ReportingNode, fake_registry: FakeRegistry, image: str) -> None:
    fake_registry.fail("layer", Fault.stall(), forever=True)

    ended = node.run(image, overall_timeout="1s")

    assert (1, "failed") == (ended.code, node.label)
    assert ("timed-out", 1) == (node.summary["end"], node.summary["failed"])


@pytest.mark.containerd
def test_a_signal_in_mid_pull_still_says_failed(node: ReportingNode, fake_registry: FakeRegistry, image: str) -> None:
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = node.start(image)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))

    seconds, ended = seconds_to_end(fetch, signal.SIGTERM)

    assert (143, "failed") == (ended.code, node.label)
    assert ("stopped", 1) == (node.summary["end"], node.summary["failed"])
    assert seconds < IN_ORDER


def test_a_node_without_a_runtime_failed(run_fetch: RunFetch, tmp_path: Path, short_path: Path) -> None:
    with FakeKube() as kube:
        kube.add_node(NODE, {LABEL: "succeeded"})
        ended = run_fetch(
            None,
            "registry.test/app:1",
            how={"environment": ENVIRONMENT},
            kubeconfig=kube.write_kubeconfig(tmp_path),
            cri_socket=short_path / "none.sock",
            runtime_wait="300ms",
        )

    assert 3 == ended.code
    assert {LABEL: "failed"} == kube.labels(NODE)
    assert '"end":"no-runtime"' in kube.annotations(NODE)[SUMMARY]


@pytest.mark.containerd
def test_a_promise_that_no_longer_holds_is_taken_back_at_once(
    node: ReportingNode, fake_registry: FakeRegistry, image: str
) -> None:
    node.promise()
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = node.start(image)
    fetch.wait_for("removed stale node label")

    meanwhile = node.label
    fake_registry.heal()
    ended = fetch.end()

    assert (None, 0, "succeeded") == (meanwhile, ended.code, node.label)


@pytest.mark.containerd
def test_a_promise_that_holds_is_never_taken_back(node: ReportingNode, image: str) -> None:
    assert 0 == node.run(image).code
    node.promise()
    node.kube.requests.clear()

    ended = node.run(image)

    assert ({image: "present"}, "succeeded") == (ended.outcomes, node.label)
    patches = [request.body["metadata"]["labels"] for request in node.kube.requests if request.method == "PATCH"]
    assert [{LABEL: "succeeded"}] == patches


@pytest.mark.containerd
def test_the_older_prefix_makes_the_older_label(node: ReportingNode, image: str) -> None:
    ended = node.run(image, node_label_prefix="image-prefetcher.stackrox.io")

    assert 0 == ended.code
    assert {**LABELS, f"image-prefetcher.stackrox.io/{INSTANCE}": "succeeded"} == node.kube.labels(NODE)


@pytest.mark.containerd
@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (403, ["kubectl auth can-i get nodes", "kubectl auth can-i patch nodes"]),  # a right each
        (404, [f"kubectl get node {NODE}"]),
    ],
)
def test_a_refusal_is_explained_once(
    node: ReportingNode, fake_registry: FakeRegistry, image: str, status: int, advice: list[str]
) -> None:
    node.kube.fail(*[Failure(status=status)] * 20)
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = node.start(image)
    fetch.wait_until(lambda log: any("cannot label node" in line["msg"] for line in log), "the first refusal")

    fake_registry.heal()
    ended = fetch.end()

    assert (0, None) == (ended.code, node.label)
    *explained, told = warnings(ended)
    assert "node not labeled" == told
    assert [1] * len(advice) == [sum(words in line for line in explained) for words in advice]
    assert len(advice) == len(explained)
    assert ["GET", "PATCH", "POST"] == node.kube.methods()


@pytest.mark.containerd
@pytest.mark.parametrize(
    "failure",
    [Failure(status=500), Failure(status=429, headers={"Retry-After": "0"}), Failure(how=CLOSE)],
    ids=["500", "429", "cut"],
)
def test_trouble_that_passes_is_waited_for(node: ReportingNode, image: str, failure: Failure) -> None:
    node.kube.fail(failure, failure, failure)

    ended = node.run(image)

    assert (0, "succeeded", []) == (ended.code, node.label, warnings(ended))


@pytest.mark.containerd
def test_an_api_server_that_is_back_within_the_grace_gets_the_label(
    node: ReportingNode, fake_registry: FakeRegistry, image: str
) -> None:
    fake_registry.fail("layer", Fault.stall(), forever=True)
    with FaultProxy(("127.0.0.1", node.kube.port)) as proxy:
        direct = f"127.0.0.1:{node.kube.port}"
        node.kubeconfig.write_text(node.kubeconfig.read_text().replace(direct, proxy.address))
        fetch = node.start(image, kubeconfig=node.kubeconfig)
        proxy.wait_until(lambda seen: any(each.bytes_down for each in seen))
        proxy.refuse()
        proxy.cut()
        fake_registry.heal()
        fetch.wait_for("run finished")
        time.sleep(0.5)  # it is down: a refused connection leaves no trace to wait for
        meanwhile = node.label
        proxy.accept()
        ended = fetch.end()

    assert (None, 0, "succeeded", []) == (meanwhile, ended.code, node.label, warnings(ended))


@pytest.mark.containerd
def test_an_api_server_that_says_nothing_costs_the_grace(node: ReportingNode, image: str) -> None:
    node.kube.fail(*[Failure(how=STALL)] * 20)
    fetch = node.start(image, report_grace="1s")
    fetch.wait_for("run finished")
    then = time.monotonic()
    ended = fetch.end()

    assert time.monotonic() - then < 60
    assert (0, None) == (ended.code, node.label)
    (told,) = ended.lines("node not labeled")
    assert (LABEL, "succeeded") == (told["key"], told["value"])
    assert "no time left" in told["error"]


@pytest.mark.containerd
@pytest.mark.parametrize("missing", ["NODE_NAME", "INSTANCE_NAME"])
def test_without_a_name_there_is_no_label_and_one_line(node: ReportingNode, image: str, missing: str) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != missing}

    ended = node.run(image, how={"environment": environment}, kubeconfig=node.kubeconfig)

    assert (0, None, []) == (ended.code, node.label, node.kube.requests)
    assert 1 == sum("label" in line["msg"] and missing in line["msg"] for line in ended.log)


@pytest.mark.containerd
def test_outside_of_a_cluster_there_is_no_label_and_one_line(
    containerd: Containerd, image: str, run_fetch: RunFetch
) -> None:
    ended = run_fetch(containerd, image, how={"environment": ENVIRONMENT})

    assert 0 == ended.code
    assert 1 == sum("not running in a cluster" in line["msg"] for line in ended.log)
    assert 0 == sum("label" in line["msg"] for line in ended.log)
