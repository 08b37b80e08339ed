"""Who may do what, asked of real API servers and tried with the service accounts' own tokens."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.installation import Installation, install
from tests.integration.program import Ended
from tests.support.apiserver import ApiServer
from tests.support.kubectl import Kubectl, KubectlError

pytestmark = pytest.mark.apiserver

LABEL, SUMMARY = "nodeprefetch.io/web", "nodeprefetch.io/web.summary"
TAINT = "example.com/cold=images:NoSchedule"


@pytest.fixture(scope="module")
def restricted(api_server: ApiServer) -> Iterator[Installation]:
    """Shared by the tests here: with `--restrict-node-access`, all that is about nodes, and an aggregator."""
    flags = ("--node-condition", f"--remove-startup-taint={TAINT}", "--collect-metrics")
    made = install(api_server, "web", "rights", "--restrict-node-access", *flags)
    before = _nodes(made)
    yield made
    after = _nodes(made)
    made.remove()
    assert before == after, "a test has left a change at a node"


@pytest.fixture(scope="module")
def pod(restricted: Installation) -> Kubectl:
    """What has the token of its fetch pod."""
    return restricted.kubectl


def test_the_accounts_have_these_rights_and_no_others(restricted: Installation) -> None:
    """Beyond what every service account has."""
    nodes = {"nodes [] [] [get patch]", "nodes/status [] [] [patch]"}
    wanted = {
        (restricted.user, "rights"): nodes,
        (restricted.user, "default"): {*nodes, "events [] [] [create]"},
        (restricted.collector, "rights"): {"tokenreviews.authentication.k8s.io [] [] [create]"},
    }

    for (user, namespace), rights in wanted.items():
        everybodys = restricted.rights("system:serviceaccount:rights:nobody", namespace)
        assert rights == restricted.rights(user, namespace) - everybodys


def test_a_run_reports_and_removes_all_that_it_may(
    restricted: Installation, fetch: Callable[..., Ended], image: str
) -> None:
    """With the policies in force: label, annotation, condition and event; and the startup taint, of two."""
    server, node = restricted.server.kubectl, restricted.node
    before = server.get("node", node)
    server.run("taint", "node", node, TAINT, "other:NoSchedule")

    ended = fetch(restricted, image, node_condition=True, remove_taint=TAINT)

    after = server.get("node", node)
    assert (0, []) == (ended.code, [line["msg"] for line in ended.log if line["level"] in {"WARN", "ERROR"}])
    others = [taint["key"] for taint in before["spec"]["taints"]]
    assert {"other", *others} == {taint["key"] for taint in after["spec"]["taints"]}
    assert {**before["metadata"]["labels"], LABEL: "succeeded"} == after["metadata"]["labels"]
    assert [(LABEL, "True")] == [(each["type"], each["status"]) for each in after["status"]["conditions"]]
    events = [each for each in server.items("events", namespace="default") if each["involvedObject"]["name"] == node]
    assert ["ImagesPrefetched"] == [each["reason"] for each in events]
    server.run("taint", "node", node, "other-")
    server.run("label", "node", node, f"{LABEL}-")


@pytest.mark.parametrize(
    "asked",
    [
        "get nodes",
        "get secrets --all-namespaces",
        "get configmaps",
        "get pods",
        "delete node NODE",
        "delete pod web-deployment",
        "drain NODE --ignore-daemonsets",
        "taint node NODE a=b:NoSchedule",
        "patch node NODE --subresource=status --type=merge --patch={}",
        "create token web-metrics",
        "create configmap more",
        "exec web-deployment -- true",
    ],
)
def test_the_fetch_pods_token_is_of_no_use_for_anything_else(
    pod: Kubectl, restricted: Installation, asked: str
) -> None:
    arguments = asked.replace("NODE", restricted.node).split()

    with pytest.raises(KubectlError, match=r"\(Forbidden\)|is forbidden|denied request"):
        pod.run("--namespace=rights", *arguments)


def test_its_own_label_and_annotation_are_what_it_may_change(pod: Kubectl, restricted: Installation) -> None:
    before = restricted.metadata(restricted.node, "labels")

    for value in ("failed", "succeeded"):
        _patch(pod, restricted.node, {"metadata": {"labels": {LABEL: value}, "annotations": {SUMMARY: "{}"}}})
    written = restricted.metadata(restricted.node, "labels")
    _patch(pod, restricted.node, {"metadata": {"labels": {LABEL: None}, "annotations": {SUMMARY: None}}})

    assert {**before, LABEL: "succeeded"} == written
    assert before == restricted.metadata(restricted.node, "labels")
    assert SUMMARY not in restricted.metadata(restricted.node, "annotations")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"metadata": {"labels": {"nodeprefetch.io/other": "succeeded"}}},
            f"may change the label {LABEL}, and no other",
        ),
        ({"metadata": {"labels": {LABEL: "failed", "a": "b"}}}, f"may change the label {LABEL}, and no other"),
        ({"metadata": {"labels": {"kubernetes.io/os": "windows"}}}, f"may change the label {LABEL}, and no other"),
        ({"metadata": {"labels": {"kubernetes.io/os": None}}}, f"may change the label {LABEL}, and no other"),
        ({"metadata": {"labels": None}}, f"may change the label {LABEL}, and no other"),
        ({"metadata": {"labels": {LABEL: "maybe"}}}, f"the label {LABEL} is succeeded or failed"),
        ({"metadata": {"annotations": {"a": "b"}}}, f"may change the annotation {SUMMARY}, and no other"),
        ({"spec": {"unschedulable": True}}, "may not change what a node is"),
        ({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}, f"may remove the taints {TAINT}, and change no"),
        ({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}}, "may not change what a node is"),
        ({"metadata": {"finalizers": ["a.io/b"]}}, "may not change what a node's deletion waits for"),
        (
            {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}},
            "may not change what a node's deletion waits for",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value)[:60],
)
def test_the_policy_refuses_whatever_else_is_in_a_patch(
    pod: Kubectl, restricted: Installation, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(KubectlError) as refusal:
        _patch(pod, restricted.node, change)

    assert said in str(refusal.value)


def test_the_policy_refuses_another_node(pod: Kubectl, restricted: Installation) -> None:
    with pytest.raises(KubectlError, match="may change the node of its pod, with the pod's token, and no other"):
        _patch(pod, restricted.other_node, {"metadata": {"labels": {LABEL: "failed"}}})


def test_the_policy_refuses_a_token_that_is_bound_to_no_pod(restricted: Installation) -> None:
    loose = restricted.server.kubectl_with(restricted.server.token("rights", "web"))

    with pytest.raises(KubectlError, match="may change the node of its pod, with the pod's token, and no other"):
        _patch(loose, restricted.node, {"metadata": {"labels": {LABEL: "failed"}}})


def test_the_policy_is_about_nobody_else(restricted: Installation) -> None:
    """The administrator, as kubelets and controllers, changes nodes as before."""
    change = {"metadata": {"labels": {"a": "b"}}, "spec": {"unschedulable": True}}

    _patch(restricted.server.kubectl, restricted.other_node, change)
    changed = restricted.metadata(restricted.other_node, "labels")
    undo = {"metadata": {"labels": {"a": None}}, "spec": {"unschedulable": None}}
    _patch(restricted.server.kubectl, restricted.other_node, undo)

    assert "b" == changed["a"]


def test_without_the_policy_the_right_is_to_all_of_every_node(installed: Callable[..., Installation]) -> None:
    """What docs/security.md warns of, and what the policy is for."""
    installation = installed()

    _patch(installation.kubectl, installation.other_node, {"spec": {"unschedulable": True}})

    assert installation.server.kubectl.get("node", installation.other_node)["spec"]["unschedulable"]


def test_the_token_ends_with_its_pod(installed: Callable[..., Installation]) -> None:
    """Whom the server does not remember: it believes a token for ten seconds."""
    installation = installed()
    pod, server = installation.kubectl, installation.server

    server.kubectl.run("delete", "pod", "web-daemonset", f"--namespace={installation.namespace}", "--force")

    with pytest.raises(KubectlError, match=r"Unauthorized|must be logged in"):
        pod.run("get", "node", installation.node)


def _nodes(installation: Installation) -> list[Any]:
    """What the tests try to change at both nodes."""
    nodes = [installation.server.kubectl.get("node", name) for name in (installation.node, installation.other_node)]
    wanted = ("labels", "finalizers", "ownerReferences")
    return [({key: node["metadata"].get(key) for key in wanted}, node["spec"]) for node in nodes]


def _patch(kubectl: Kubectl, node: str, change: dict[str, Any]) -> None:
    kubectl.run("patch", "node", node, "--type=merge", f"--patch={json.dumps(change)}")
