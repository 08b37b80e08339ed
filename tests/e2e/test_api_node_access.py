"""What fetch pods may do about nodes, each way of access: every request is made with the pod's own token.

docs/security.md has the same table for people.
"""

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.installation import EVENTS, MERGE_PATCH, NODES, Installation, install
from tests.support.apiserver import Answer, ApiServer
from tests.support.cluster_programs import OLDEST

pytestmark = pytest.mark.apiserver

STRATEGIC_PATCH, JSON_PATCH = "application/strategic-merge-patch+json", "application/json-patch+json"
KEY, NEIGHBOURS_KEY = "nodeprefetch.io/web", "nodeprefetch.io/other"
STARTUP_TAINT = {"key": "example.com/cold", "value": "images", "effect": "NoSchedule"}
NODE: dict[str, Any] = {
    "metadata": {"labels": {"example.com/pool": "a"}, "annotations": {"example.com/note": "a"}},
    "spec": {"taints": [{"key": "example.com/other", "effect": "NoSchedule"}, STARTUP_TAINT]},
}
STATUS: dict[str, Any] = {
    "conditions": [{"type": "Ready", "status": "False"}, {"type": KEY, "status": "False"}],
    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
    "capacity": {"cpu": "4"},
    "images": [{"names": ["registry.test/app:1"], "sizeBytes": 1}],
}

CONDITION, TAINT = "--node-condition", "--remove-startup-taint=example.com/cold=images:NoSchedule"
WAYS = {
    "direct": (CONDITION, TAINT),
    "restricted": (CONDITION, TAINT, "--restrict-node-access"),
    "impersonate": (CONDITION, "--node-access=impersonate"),
    "impersonate-restricted": (CONDITION, "--node-access=impersonate", "--restrict-node-access"),
}
ALL, NONE = frozenset(WAYS), frozenset[str]()
UNRESTRICTED, OWN_RIGHTS = frozenset({"direct", "impersonate"}), frozenset({"direct", "restricted"})


@dataclass(frozen=True, kw_only=True)
class Try:
    """A request."""

    name: str
    ways: AbstractSet[str]
    """The ways of access in which it is let through."""

    body: Any = None
    type: str = MERGE_PATCH
    path: str = ""
    """After the node."""

    is_elsewhere: bool = False
    """At the other node."""

    method: str = "PATCH"


def _label(key: str, value: str | None) -> Mapping[str, Any]:
    return {"metadata": {"labels": {key: value}}}


def _condition(kind: str, **more: str) -> Mapping[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": "True", **more}]}}


def _taint(operation: str, index: int | str, value: object = None) -> list[Mapping[str, Any]]:
    return [{"op": operation, "path": f"/spec/taints/{index}", **({} if value is None else {"value": value})}]


OWN = {"metadata": {"labels": {KEY: "succeeded"}, "annotations": {f"{KEY}.summary": "{}"}}}
OWNER = {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}}

TRIES = [
    Try(name="read", ways=ALL, method="GET"),
    Try(name="its label and annotation", ways=ALL, body=OWN),
    Try(name="its label removed", ways=ALL, body=_label(KEY, None)),
    Try(name="its condition", ways=ALL, path="/status", type=STRATEGIC_PATCH, body=_condition(KEY)),
    Try(
        name="its condition removed",
        ways=ALL,
        path="/status",
        type=STRATEGIC_PATCH,
        body={"status": {"conditions": [{"type": KEY, "$patch": "delete"}]}},
    ),
    Try(name="its startup taint removed", ways=OWN_RIGHTS, type=JSON_PATCH, body=_taint("remove", 1)),
    # What else belongs to the own node.
    Try(name="another installation's label", ways=ALL - {"restricted"}, body=_label(NEIGHBOURS_KEY, "failed")),
    Try(
        name="another installation's condition",
        ways=ALL - {"restricted"},
        path="/status",
        type=STRATEGIC_PATCH,
        body=_condition(NEIGHBOURS_KEY),
    ),
    Try(name="another label", ways=UNRESTRICTED, body=_label("a", "b")),
    Try(name="another label removed", ways=UNRESTRICTED, body=_label("example.com/pool", None)),
    Try(name="a label of Kubernetes", ways={"direct"}, body=_label("node-restriction.kubernetes.io/a", "")),
    Try(name="another value of its label", ways=UNRESTRICTED, body=_label(KEY, "maybe")),
    Try(name="another annotation", ways=UNRESTRICTED, body={"metadata": {"annotations": {"a": "b"}}}),
    Try(
        name="another annotation removed",
        ways=UNRESTRICTED,
        body={"metadata": {"annotations": {"example.com/note": None}}},
    ),
    Try(name="cordon", ways=UNRESTRICTED, body={"spec": {"unschedulable": True}}),
    Try(
        name="a pod network", ways=UNRESTRICTED, body={"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}}
    ),
    Try(name="a finalizer", ways=UNRESTRICTED, body={"metadata": {"finalizers": ["a.io/b"]}}),
    Try(name="an owner", ways={"direct"}, body=OWNER),
    Try(name="another taint removed", ways={"direct"}, type=JSON_PATCH, body=_taint("remove", 0)),
    Try(name="all taints removed", ways={"direct"}, body={"spec": {"taints": None}}),
    Try(
        name="a taint added",
        ways={"direct"},
        type=JSON_PATCH,
        body=_taint("add", "-", {"key": "a", "effect": "NoExecute"}),
    ),
    Try(
        name="another taint changed", ways={"direct"}, type=JSON_PATCH, body=_taint("replace", "0/effect", "NoExecute")
    ),
    Try(
        name="its startup taint changed",
        ways={"direct"},
        type=JSON_PATCH,
        body=_taint("replace", "1/effect", "NoExecute"),
    ),
    Try(name="another condition", ways=UNRESTRICTED, path="/status", type=STRATEGIC_PATCH, body=_condition("Ready")),
    Try(
        name="a heartbeat of another condition",
        ways=UNRESTRICTED,
        path="/status",
        type=STRATEGIC_PATCH,
        body=_condition("Ready", status="False", lastHeartbeatTime="2026-01-01T00:00:00Z"),
    ),
    Try(
        name="another condition removed",
        ways=UNRESTRICTED,
        path="/status",
        type=STRATEGIC_PATCH,
        body={"status": {"conditions": [{"type": "Ready", "$patch": "delete"}]}},
    ),
    Try(name="all conditions removed", ways=UNRESTRICTED, path="/status", body={"status": {"conditions": None}}),
    Try(
        name="an address",
        ways=UNRESTRICTED,
        path="/status",
        type=STRATEGIC_PATCH,
        body={"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.9"}]}},
    ),
    Try(name="a capacity", ways=UNRESTRICTED, path="/status", body={"status": {"capacity": {"example.com/gpu": "8"}}}),
    Try(name="a phase", ways=UNRESTRICTED, path="/status", body={"status": {"phase": "Running"}}),
    Try(name="images removed", ways=UNRESTRICTED, path="/status", body={"status": {"images": None}}),
    Try(name="another label by way of the status", ways=UNRESTRICTED, path="/status", body=_label("a", "b")),
    Try(name="replace", ways=NONE, method="PUT", body={}),
    Try(name="delete", ways=NONE, method="DELETE"),
    # The other node.
    Try(name="another node: read", ways=OWN_RIGHTS, is_elsewhere=True, method="GET"),
    Try(name="another node: its label", ways={"direct"}, is_elsewhere=True, body=OWN),
    Try(
        name="another node: its condition",
        ways={"direct"},
        is_elsewhere=True,
        path="/status",
        type=STRATEGIC_PATCH,
        body=_condition(KEY),
    ),
    Try(
        name="another node: its startup taint removed",
        ways={"direct"},
        is_elsewhere=True,
        type=JSON_PATCH,
        body=_taint("remove", 1),
    ),
    Try(name="another node: cordon", ways={"direct"}, is_elsewhere=True, body={"spec": {"unschedulable": True}}),
]


@pytest.fixture(scope="module", params=WAYS)
def access(api_server: ApiServer, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """An installation with that way, in the namespace of its name, shared by the tests here: they try with dry runs."""
    way = request.param
    if "impersonate" in way and api_server.version == OLDEST:
        pytest.skip(f"Kubernetes {OLDEST} has no constrained impersonation")
    made = install(api_server, "web", way, *WAYS[way])
    _furnish(made)
    yield made
    made.remove()


def _furnish(made: Installation) -> None:
    """Give both nodes what the requests are to change."""
    for node in (made.node, made.other_node):
        patch = made.server.kubectl.run
        patch("patch", "node", node, "--type=merge", f"--patch={json.dumps(NODE)}")
        patch(
            "patch", "node", node, "--subresource=status", "--type=merge", f"--patch={json.dumps({'status': STATUS})}"
        )


def _assert_allowed(answer: Answer, *, is_allowed: bool) -> None:
    if is_allowed:
        assert answer.status in {200, 201}, answer.message
    else:
        assert 403 == answer.status, answer
        assert " is forbidden: " in answer.message


@pytest.mark.parametrize("tried", TRIES, ids=lambda tried: tried.name)
def test_who_may_do_what_about_nodes(access: Installation, tried: Try) -> None:
    node = access.other_node if tried.is_elsewhere else access.node

    answer = access.ask(tried.method, f"{NODES}/{node}{tried.path}?dryRun=All", tried.body, tried.type)

    _assert_allowed(answer, is_allowed=access.namespace in tried.ways)


def _create_event(access: Installation, about: Mapping[str, str], namespace: str, *, token: str = "") -> Answer:
    metadata = {"generateName": "event.", "namespace": namespace}
    event = {"metadata": metadata, "involvedObject": about, "reason": "ImagesPrefetched", "type": "Normal"}
    return access.ask("POST", f"/api/v1/namespaces/{namespace}/events?dryRun=All", event, token=token)


@pytest.mark.parametrize(
    ("about", "where", "ways"),
    [
        ({"kind": "Node", "name": "OWN"}, "default", ALL),
        ({"kind": "Node", "name": "OTHER"}, "default", UNRESTRICTED),
        ({"kind": "Pod", "name": "OWN", "namespace": "default"}, "default", UNRESTRICTED),
        ({"kind": "Pod", "name": "web-daemonset", "namespace": "OURS"}, "OURS", NONE),
    ],
    ids=["its node", "another node", "a pod", "a pod of its namespace"],
)
def test_who_may_write_events_about_what(
    access: Installation, about: Mapping[str, str], where: str, ways: AbstractSet[str]
) -> None:
    names = {"OWN": access.node, "OTHER": access.other_node, "OURS": access.namespace}
    involved = {field: names.get(value, value) for field, value in about.items()}

    answer = _create_event(access, involved, names.get(where, where))

    _assert_allowed(answer, is_allowed=access.namespace in ways)


@pytest.mark.parametrize("path", [NODES, "/api/v1/pods", "/api/v1/secrets", EVENTS])
def test_nobody_may_list(access: Installation, path: str) -> None:
    assert 403 == access.ask("GET", path).status


def test_a_token_that_is_bound_to_no_pod_changes_nodes_only_where_nothing_restricts_it(access: Installation) -> None:
    loose = access.server.token(access.namespace, "web")

    change = access.ask("PATCH", f"{NODES}/{access.node}?dryRun=All", OWN, MERGE_PATCH, token=loose)
    event = _create_event(access, {"kind": "Node", "name": access.node}, "default", token=loose)

    _assert_allowed(change, is_allowed=access.namespace == "direct")
    _assert_allowed(event, is_allowed=access.namespace in UNRESTRICTED)


def test_what_is_not_of_the_status_does_not_get_there_by_its_way(access: Installation) -> None:
    """A policy sees such a request with the node's own taints: the API server has put them back."""
    before = access.server.kubectl.get("node", access.node)["spec"]

    access.ask("PATCH", f"{NODES}/{access.node}/status", {"spec": {"taints": None}}, MERGE_PATCH)

    assert before == access.server.kubectl.get("node", access.node)["spec"]


def test_kubelets_change_their_nodes_as_before(access: Installation) -> None:
    """Also where a policy is about all that acts as a node."""
    server, path = access.server, f"{NODES}/{access.node}"
    kubelet = server.kubelet_login(access.node)
    changes: list[tuple[str, Mapping[str, Any]]] = [
        (path, {"metadata": {"labels": {"a": "b"}}, "spec": {"unschedulable": True}}),
        (f"{path}/status", _condition("Ready")),
    ]

    answers = [
        server.ask("PATCH", f"{where}?dryRun=All", body=change, content_type=STRATEGIC_PATCH, certificate=kubelet)
        for where, change in changes
    ]

    assert [200, 200] == [answer.status for answer in answers]
