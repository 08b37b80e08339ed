"""`fetch` at real API servers as its own node (`--node-access impersonate`), with no right on nodes."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.installation import Installation, install
from tests.integration.program import Ended
from tests.support.apiserver import ApiServer
from tests.support.cluster_programs import OLDEST

pytestmark = pytest.mark.apiserver

LABEL, SUMMARY = "nodeprefetch.io/web", "nodeprefetch.io/web.summary"
IMPERSONATE = {"node_access": "impersonate"}


@pytest.fixture(scope="module")
def acting(api_server: ApiServer) -> Iterator[Installation]:
    """Shared by the tests here. Its API server knows KEP-5284."""
    if api_server.version == OLDEST:
        pytest.skip(f"Kubernetes {OLDEST} has no constrained impersonation")
    made = install(
        api_server, "web", "acting", "--node-condition", "--node-access=impersonate", "--restrict-node-access"
    )
    yield made
    made.remove()


def test_a_run_reports_all_of_it_as_its_node(acting: Installation, fetch: Callable[..., Ended], image: str) -> None:
    before = acting.metadata(acting.node, "labels")

    ended = fetch(acting, image, **IMPERSONATE, node_condition=True)

    assert (0, []) == (ended.code, _warnings(ended))
    assert {**before, LABEL: "succeeded"} == acting.metadata(acting.node, "labels")
    assert '"result":"succeeded"' in acting.metadata(acting.node, "annotations")[SUMMARY]
    conditions = acting.server.kubectl.get("node", acting.node)["status"]["conditions"]
    assert ["True"] == [each["status"] for each in conditions if each["type"] == LABEL]
    events = [
        each
        for each in acting.server.kubectl.items("events", namespace="default")
        if each["involvedObject"]["name"] == acting.node
    ]
    assert ["ImagesPrefetched"] == [each["reason"] for each in events]


def test_with_the_accounts_own_right_it_could_do_nothing(
    acting: Installation, fetch: Callable[..., Ended], image: str
) -> None:
    ended = fetch(acting, image)

    assert 0 == ended.code
    assert any("missing permission to patch nodes" in warning for warning in _warnings(ended))


def test_the_token_of_another_node_is_of_no_use_and_the_log_says_why(
    acting: Installation, fetch: Callable[..., Ended], image: str
) -> None:
    ended = fetch(acting, image, node=acting.other_node, **IMPERSONATE)

    assert 0 == ended.code
    assert LABEL not in acting.metadata(acting.other_node, "labels")
    said = f"requires the token of a pod on node {acting.other_node}; is it the pod's spec.nodeName?"
    assert any(said in warning for warning in _warnings(ended))


def test_without_the_role_the_log_has_the_command_that_shows_it(
    acting: Installation, installed: Callable[..., Installation], fetch: Callable[..., Ended], image: str
) -> None:
    """And that command says no."""
    installation = installed("--node-access=impersonate")
    verb = "impersonate-on:associated-node:patch"
    assert installation.server.kubectl.may(verb, "nodes", installation.user)
    name = f"nodeprefetch.{installation.namespace}.web.node-labeler"
    installation.server.kubectl.run("delete", "clusterrolebinding", name)

    ended = fetch(installation, image, **IMPERSONATE)

    assert 0 == ended.code
    assert any(f"kubectl auth can-i {verb} nodes --as={installation.user}" in line for line in _warnings(ended))
    assert not installation.server.kubectl.may(verb, "nodes", installation.user)


def test_an_older_api_server_is_named_as_the_reason(
    api_server: ApiServer, installed: Callable[..., Installation], fetch: Callable[..., Ended], image: str
) -> None:
    if api_server.version != OLDEST:
        pytest.skip("this one knows KEP-5284")
    installation = installed("--node-access=impersonate")

    ended = fetch(installation, image, **IMPERSONATE)

    assert 0 == ended.code
    assert LABEL not in installation.metadata(installation.node, "labels")
    (said,) = [line for line in _warnings(ended) if "cannot label node: " in line]
    assert "(--node-access impersonate requires Kubernetes 1.36 or newer; use --node-access direct)" in said


def _warnings(ended: Ended) -> list[str]:
    return [f"{line['msg']} {line.get('error', '')}" for line in ended.log if line["level"] in {"WARN", "ERROR"}]
