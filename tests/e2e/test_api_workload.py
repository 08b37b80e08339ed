"""`--once-for` at real API servers: who may list pods, which pods count, and what is left on a node that is skipped."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from nodeprefetch.values.pod_selector import pod_selector_problems
from tests.e2e.installation import Installation, namespace_object
from tests.integration.program import Ended
from tests.support.apiserver import ApiServer
from tests.support.cluster_programs import OLDEST
from tests.support.kubectl import KubectlError
from tests.unit.test_pod_selector import VALID

pytestmark = pytest.mark.apiserver

LABEL, SUMMARY = "nodeprefetch.io/web", "nodeprefetch.io/web.summary"
_numbers = count(1)


@pytest.fixture
def team(api_server: ApiServer) -> Iterator[str]:
    """A namespace for the workload."""
    name = f"team{next(_numbers)}"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    api_server.kubectl.create(namespace_object(name), account)  # the account is otherwise a controller's
    yield name
    api_server.kubectl.run("delete", "pods,roles,rolebindings", "--all", f"--namespace={name}", "--wait=false")


def workload(server: ApiServer, namespace: str, node: str, **labels: str) -> None:
    """A pod that is bound to the node, and does not run yet: nobody is there to run it."""
    metadata: dict[str, Any] = {"name": f"pod-on-{node}", "namespace": namespace, "labels": labels}
    spec = {"nodeName": node, "containers": [{"name": "app", "image": "registry.test/app:1"}]}
    server.kubectl.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def was_skipped(ended: Ended) -> bool:
    return any(line["msg"].startswith("nothing to pull: ") for line in ended.log)


@pytest.fixture(params=["direct", "impersonate"])
def access(request: pytest.FixtureRequest, api_server: ApiServer) -> str:
    """How fetch pods write on their node."""
    if request.param == "impersonate" and api_server.version == OLDEST:
        pytest.skip(f"Kubernetes {OLDEST} has no constrained impersonation")
    return str(request.param)


def test_the_role_lets_a_pod_find_the_workload_and_no_label_is_left_where_it_is_not(
    installed: Callable[..., Installation], fetch: Callable[..., Ended], team: str, image: str, access: str
) -> None:
    """With the restricting policy, which lets the label of an earlier run be removed."""
    made = installed(f"--once-for={team}/app=web", f"--node-access={access}", "--restrict-node-access")
    flags = {"node_access": access, "for_pods": f"{team}/app=web"}
    workload(made.server, team, made.other_node, app="web")
    before = fetch(made, image, node_access=access)
    labelled = made.metadata(made.node, "labels").get(LABEL)

    same = fetch(made, image, **flags)
    kept = made.metadata(made.node, "labels").get(LABEL)
    skipped = fetch(made, image, image.replace("app", "other"), **flags)
    left = {**made.metadata(made.node, "labels"), **made.metadata(made.node, "annotations")}
    workload(made.server, team, made.node, app="web")
    pulled = fetch(made, image, **flags)

    assert (0, "succeeded") == (before.code, labelled)
    assert (0, True, "succeeded") == (same.code, was_skipped(same), kept)
    assert (0, True) == (skipped.code, was_skipped(skipped))
    assert not {LABEL, SUMMARY} & left.keys()
    assert (0, False) == (pulled.code, was_skipped(pulled))
    assert "succeeded" == made.metadata(made.node, "labels")[LABEL]


def test_pods_are_listed_in_that_namespace_and_in_no_other(
    api_server: ApiServer, installed: Callable[..., Installation], team: str
) -> None:
    made = installed(f"--once-for={team}/app=web")

    made.kubectl.run("get", "pods", f"--namespace={team}")
    for refused in (("get", "pods", "-n", made.namespace), ("get", "secrets", "-n", team), ("get", "pods", "-A")):
        with pytest.raises(KubectlError, match="forbidden"):
            made.kubectl.run(*refused)


@pytest.mark.parametrize(
    "text", [*VALID, "-app=x", "app=-x", "app in web", "app in (web", "app=a=b", f"app={64 * 'x'}"]
)
def test_selectors_are_valid_where_the_api_server_takes_them(api_server: ApiServer, text: str) -> None:
    try:
        found = json.loads(api_server.kubectl.run("get", "pods", f"--selector={text}", "--output=json"))
    except KubectlError:
        found = None

    assert (found is not None) == (not pod_selector_problems(text))
