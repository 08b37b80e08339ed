"""Our programs at real API servers, with the tokens that pods have: the node's label, and who may submit results."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeprefetch.kube import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
    connect,
)
from tests.e2e.conftest import HANGING
from tests.e2e.installation import Installation, install
from tests.integration.program import Ended, Program
from tests.support.aggregator_program import AggregatorProgram

pytestmark = pytest.mark.apiserver

LABEL, SUMMARY = "nodeprefetch.io/web", "nodeprefetch.io/web.summary"
AUDIENCE = "nodeprefetch"


@pytest.fixture(scope="module")
def shared(api_server) -> Iterator[Installation]:
    made = install(api_server, "web", "programs", "--collect-metrics", "--restrict-node-access")
    yield made
    made.remove()


@pytest.fixture
def aggregator(shared: Installation, tmp_path: Path) -> Iterator[AggregatorProgram]:
    login = shared.server.kubeconfig_with(shared.collector_token())
    flags = ["--auth=kubernetes", "--auth-service-account=programs:web", f"--kubeconfig={login}"]
    with AggregatorProgram(tmp_path, *flags, keeps=False) as running:
        yield running


def test_a_run_labels_its_node(shared: Installation, fetch: Callable[..., Ended], image: str) -> None:
    """With no more than the restricted right. What others wrote stays."""
    before = shared.metadata(shared.node, "labels")

    failed = fetch(shared, image, image.replace("app", "none"))
    after_failure = shared.metadata(shared.node, "labels")
    succeeded = fetch(shared, image)

    assert (1, 0) == (failed.code, succeeded.code)
    assert {**before, LABEL: "failed"} == {**before, **after_failure}
    assert {**before, LABEL: "succeeded"} == shared.metadata(shared.node, "labels")
    assert '"result":"succeeded"' in shared.metadata(shared.node, "annotations")[SUMMARY]
    assert [] == _warnings(succeeded)


def test_a_stale_label_is_taken_away_while_an_image_is_missing(
    shared: Installation, start: Callable[..., Program]
) -> None:
    """The policy lets it; the end of the run brings the new one."""
    shared.server.kubectl.run("label", "node", shared.node, f"{LABEL}=succeeded", "--overwrite")

    run = start(shared, HANGING)
    run.wait_for("removed stale node label")
    during = shared.metadata(shared.node, "labels")
    run.send(signal.SIGTERM)
    ended = run.end()

    assert 143 == ended.code
    assert LABEL not in during
    assert "failed" == shared.metadata(shared.node, "labels")[LABEL]


def test_another_node_is_not_labelled_and_the_log_says_why(
    shared: Installation, fetch: Callable[..., Ended], image: str
) -> None:
    ended = fetch(shared, image, node=shared.other_node)

    assert 0 == ended.code
    assert LABEL not in shared.metadata(shared.other_node, "labels")
    assert any("may change the node of its pod" in warning for warning in _warnings(ended))


def test_without_the_right_the_log_has_the_command_that_shows_it(
    installed: Callable[..., Installation], fetch: Callable[..., Ended], image: str
) -> None:
    """And that command says no."""
    installation = installed()
    name = f"nodeprefetch.{installation.namespace}.web.node-labeler"
    assert installation.server.kubectl.may("patch", "nodes", installation.user)
    installation.server.kubectl.run("delete", "clusterrolebinding", name)

    ended = fetch(installation, image)

    (said,) = [warning for warning in _warnings(ended) if "missing permission to patch nodes" in warning]
    assert 0 == ended.code
    assert f"kubectl auth can-i patch nodes --as={installation.user}" in said
    assert not installation.server.kubectl.may("patch", "nodes", installation.user)


async def test_a_pods_files_lead_to_the_api_server(shared: Installation, tmp_path: Path) -> None:
    """As the kubelet mounts them, and in the environment it makes."""
    shared.server.write_service_account(tmp_path, shared.token())
    kube = await connect(environment=shared.server.environment, mount=tmp_path)

    node = await kube.get_node(shared.node)
    patched = await kube.patch_node(shared.node, labels={LABEL: "succeeded"}, resource_version=node.resource_version)

    assert (shared.node, "linux") == (node.name, node.labels["kubernetes.io/os"])
    assert "succeeded" == patched.labels[LABEL]
    with pytest.raises(ConflictError):
        await kube.patch_node(shared.node, labels={LABEL: "failed"}, resource_version=node.resource_version)
    with pytest.raises(NotFoundError):
        await kube.get_node("nowhere")
    with pytest.raises(ForbiddenError):
        await kube.review_token("any", AUDIENCE)
    shared.server.write_service_account(tmp_path, "not-a-token")
    with pytest.raises(UnauthorizedError):
        await (await connect(environment=shared.server.environment, mount=tmp_path)).get_node(shared.node)


async def test_a_review_tells_account_node_and_audience(shared: Installation) -> None:
    """Tokens of pods name their node from 1.30 on."""
    kube = await connect(str(shared.server.kubeconfig_with(shared.collector_token())))

    review = await kube.review_token(shared.token(audience=AUDIENCE), AUDIENCE)
    loose = await kube.review_token(shared.server.token("programs", "web", audience=AUDIENCE), AUDIENCE)
    elsewhere = await kube.review_token(shared.token(), AUDIENCE)
    nonsense = await kube.review_token("nonsense", AUDIENCE)

    assert (True, shared.user, shared.node, (AUDIENCE,)) == (
        review.authenticated,
        review.username,
        review.node_name,
        review.audiences,
    )
    assert (True, shared.user, "") == (loose.authenticated, loose.username, loose.node_name)
    assert not elsewhere.authenticated
    assert not nonsense.authenticated


def test_a_pods_token_submits_results_of_its_node(
    shared: Installation, fetch: Callable[..., Ended], image: str, aggregator: AggregatorProgram
) -> None:
    token = shared.token(audience=AUDIENCE)

    ended = fetch(shared, image, token=token, metrics_endpoint=aggregator.endpoint)

    assert (0, []) == (ended.code, _warnings(ended))
    assert {image: "succeeded"} == aggregator.states("web", shared.node)


@pytest.mark.parametrize(
    ("whose", "said"),
    [
        ("another node's", "this token may only report for node"),
        ("another account's", "may not use this aggregator"),
        ("for the API server", "unknown or wrong audience"),
        ("of a pod that is gone", "token rejected by the API server"),
    ],
)
def test_no_other_token_does(  # noqa: PLR0917 - pytest gives them by name
    shared: Installation,
    fetch: Callable[..., Ended],
    image: str,
    aggregator: AggregatorProgram,
    whose: str,
    said: str,
) -> None:
    """Each from the API server itself."""
    node = shared.node
    match whose:
        case "another node's":
            token, node = shared.token(audience=AUDIENCE), shared.other_node
        case "another account's":
            token = shared.server.token("programs", "web-metrics", audience=AUDIENCE, pod="web-deployment")
        case "for the API server":
            token = shared.token()
        case _:
            shared.server.kubectl.create(shared.pod("DaemonSet", "gone"))
            token = shared.server.token("programs", "web", audience=AUDIENCE, pod="gone")
            shared.server.kubectl.run("delete", "pod", "gone", "--namespace=programs", "--force")

    ended = fetch(shared, image, node=node, token=token, metrics_endpoint=aggregator.endpoint, report_grace="2s")

    assert 0 == ended.code
    assert [] == aggregator.results()
    assert any(said in warning for warning in _warnings(ended))
    assert token not in ended.stderr


def _warnings(ended: Ended) -> list[str]:
    return [f"{line['msg']} {line.get('error', '')}" for line in ended.log if line["level"] in {"WARN", "ERROR"}]
