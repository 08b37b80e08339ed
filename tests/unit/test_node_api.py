"""What the reporters that write on the node share, on virtual time."""

import pytest
import trio

from nodeprefetch.kube import ForbiddenError, NotInClusterError, UnauthorizedError
from nodeprefetch.report.node_advice import advice
from nodeprefetch.report.node_api import NodeApi, NodeCalls
from tests.support.fake_nodes import FakeNodes


async def _read(calls: NodeCalls):
    return await calls.get_node("n1")


def _api(nodes: FakeNodes) -> tuple[NodeApi, list[str]]:
    said: list[str] = []
    return NodeApi("n1", connect=nodes.connect, warn=said.append, jitter=lambda: 1), said


async def test_two_who_call_at_the_same_time_share_one_client(autojump_clock):
    nodes = FakeNodes()
    api, _ = _api(nodes)

    async with trio.open_nursery() as nursery:
        for task in ("label node", "set node condition"):
            nursery.start_soon(api.caller(task).call, "get", _read)

    assert (1, 2) == (len(nodes.times("connect")), len(nodes.times("get")))


async def test_outside_a_cluster_all_of_them_are_off_with_one_line(autojump_clock):
    nodes = FakeNodes(on_connect=9 * [NotInClusterError("not running in a cluster")])
    api, said = _api(nodes)
    callers = [api.caller("label node"), api.caller("set node condition")]

    async def call(each) -> None:
        with pytest.raises(NotInClusterError):
            await each.call("get", _read)

    async with trio.open_nursery() as nursery:
        for each in callers:
            nursery.start_soon(call, each)

    (line,) = said
    assert line.endswith(": not running in a cluster")
    assert [True, True] == [each.is_off for each in callers]
    assert [0] == nodes.times("connect")


@pytest.mark.parametrize(
    ("error", "resources", "lines"),
    [
        (ForbiddenError("403"), ("nodes", "nodes"), 1),
        (ForbiddenError("403"), ("nodes", "nodes/status"), 2),
        (ForbiddenError('403: User "w" cannot impersonate resource "users" in'), ("nodes", "nodes/status"), 1),
        (UnauthorizedError("401"), ("nodes", "nodes/status"), 1),
    ],
    ids=["same right", "another right", "before 1.36", "login"],
)
async def test_an_error_is_explained_once_and_a_missing_right_once_each(autojump_clock, error, resources, lines):
    api, said = _api(FakeNodes(on_get=[error, error]))

    for resource in resources:
        with pytest.raises(type(error)):
            await api.caller("label node").call("get", _read, resource=resource)

    assert lines == len(said)


def test_the_command_that_shows_a_missing_right_names_the_subresource():
    assert "kubectl auth can-i patch nodes --subresource=status --as=" in advice(
        ForbiddenError("403"), "patch", "nodes/status", "n1"
    )


WEB, ACTION = "system:serviceaccount:p:web", "impersonate-on:associated-node:patch"


@pytest.mark.parametrize(
    ("verb", "resource", "advised"),
    [
        (
            "impersonate",
            "users",
            "--node-access impersonate requires Kubernetes 1.36 or newer; use --node-access direct",
        ),
        (
            "impersonate-on:arbitrary-node:patch",
            "nodes",
            "--node-access impersonate requires the token of a pod on node n1; is it the pod's spec.nodeName?",
        ),
        (
            ACTION,
            "nodes/status",
            (
                f"missing permission to {ACTION} nodes/status; check: kubectl auth can-i {ACTION} nodes"
                f" --subresource=status --as={WEB}"
            ),
        ),
        (
            "impersonate:associated-node",
            "nodes",
            (
                "missing permission to impersonate:associated-node nodes.authentication.k8s.io; check: kubectl auth"
                f" can-i impersonate:associated-node nodes.authentication.k8s.io --as={WEB}"
            ),
        ),
    ],
    ids=["before 1.36", "another node", "action", "identity"],
)
def test_who_may_not_act_as_its_node_learns_why(verb, resource, advised):
    """The words of API servers 1.30.14 (the first) and 1.37.2."""
    said = f'nodes "n1" is forbidden: User "{WEB}" cannot {verb} resource "{resource}" in API group "" at the cluster'

    assert f" ({advised})" == advice(ForbiddenError(f"patching node n1: 403: {said}"), "patch", "nodes", "n1")


@pytest.mark.parametrize(
    "why",
    [
        "is not allowed to modify labels: kubernetes.io/web",
        "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: this service account may change the label …",
    ],
    ids=["NodeRestriction", "policy"],
)
def test_no_permission_would_help_against_admission(why):
    said = f'patching node n1: 403: nodes "n1" is forbidden: {why}'

    assert not advice(ForbiddenError(said), "patch", "nodes", "n1")
