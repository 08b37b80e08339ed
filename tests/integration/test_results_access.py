"""Who may report what: service accounts, vouched for by an API server over HTTPS, and tokens from a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.reported import INSTANCE, NODE, ReportingNode, complaints
from tests.support.aggregator_program import AggregatorProgram
from tests.support.fake_kube import CLOSE, Failure
from tests.support.kube_objects import ReviewedToken

pytestmark = pytest.mark.containerd

OURS, OTHERS = "system:serviceaccount:prefetch:web", "system:serviceaccount:prefetch:other"
AUDIENCE = "nodeprefetch"


TOKENS = {
    "of.web.anywhere": ReviewedToken(username=OURS, audiences=(AUDIENCE,)),
    "of.web.here": ReviewedToken(username=OURS, audiences=(AUDIENCE,), node_name=NODE),
    "of.web.elsewhere": ReviewedToken(username=OURS, audiences=(AUDIENCE,), node_name="node-8"),
    "of.other.account": ReviewedToken(username=OTHERS, audiences=(AUDIENCE,)),
    "for.the.api": ReviewedToken(username=OURS, audiences=("https://kubernetes.default.svc",)),
}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
def aggregator(node: ReportingNode, tmp_path: Path) -> Iterator[AggregatorProgram]:
    for token, reviewed in TOKENS.items():
        node.kube.know_token(token, reviewed)
    flags = ["--auth=kubernetes", "--auth-service-account=prefetch:web", f"--kubeconfig={node.kubeconfig}"]
    with AggregatorProgram(tmp_path, *flags, keeps=False) as running:
        yield running


@pytest.mark.parametrize("token", ["of.web.anywhere", "of.web.here"])
def test_the_service_account_may_report(
    node: ReportingNode,
    fake_registry: FakeRegistry,
    token_file: Path,
    aggregator: AggregatorProgram,
    token: str,
) -> None:
    """The API server is asked once for all batches of a run."""
    images = [fake_registry.add(f"account/app-{n}:1", make_image(seed=f"account {token} {n}")) for n in range(3)]
    token_file.write_text(token)

    ended = node.run(
        *images,
        metrics_endpoint=aggregator.endpoint,
        metrics_token_file=token_file,
        max_parallel_pulls=1,
    )

    assert (0, "succeeded", []) == (ended.code, node.label, complaints(ended))
    assert dict.fromkeys(images, "succeeded") == aggregator.states(INSTANCE, NODE)
    reviews = [request for request in node.kube.requests if request.path.endswith("/tokenreviews")]
    assert [(token, [AUDIENCE])] == [(each.body["spec"]["token"], each.body["spec"]["audiences"]) for each in reviews]


@pytest.mark.parametrize(
    "refusal",
    [
        ("of.other.account", " 403: ", f"{OTHERS} may not use this aggregator"),
        ("of.web.elsewhere", " 403: ", "this token may only report for node node-8"),
        ("for.the.api", " 401: ", "unknown or wrong audience"),
        ("of.no.body", " 401: ", "token rejected by the API server"),
        ("", " 401: ", "missing bearer token"),
    ],
    ids=lambda refusal: refusal[0] or "none",
)
def test_nobody_else_may(
    node: ReportingNode,
    fake_registry: FakeRegistry,
    token_file: Path,
    aggregator: AggregatorProgram,
    refusal: tuple[str, ...],
) -> None:
    """That changes nothing but the log of who tried."""
    token, *said = refusal
    image = fake_registry.add("nobody/app:1", make_image(seed=f"nobody {token}"))
    token_file.write_text(token)

    ended = node.run(
        image,
        metrics_endpoint=aggregator.endpoint,
        metrics_token_file=token_file if token else None,
        report_grace="5s",
    )

    assert (0, {image: "succeeded"}, "succeeded") == (ended.code, ended.outcomes, node.label)
    assert [] == aggregator.results()
    refused, lost = complaints(ended)
    assert all(words in refused for words in said)
    assert "did not acknowledge" in lost
    if token:
        assert token not in ended.stderr


def test_a_token_put_right_in_mid_run_is_enough(
    node: ReportingNode,
    fake_registry: FakeRegistry,
    token_file: Path,
    aggregator: AggregatorProgram,
) -> None:
    """A mounted token is renewed while the pod runs."""
    image = fake_registry.add("renewed/app:1", make_image(seed="renewed"))
    fake_registry.fail("layer", Fault.stall(), forever=True)
    token_file.write_text("of-yesterday")
    fetch = node.start(
        image,
        metrics_endpoint=aggregator.endpoint,
        metrics_token_file=token_file,
    )
    fetch.wait_until(lambda log: any("rejects results" in line["msg"] for line in log), "a complaint")

    token_file.write_text("of.web.anywhere")
    fake_registry.heal()
    ended = fetch.end()

    assert (0, 1) == (ended.code, len(complaints(ended)))
    assert {image: "succeeded"} == aggregator.states(INSTANCE, NODE)


def test_an_api_server_that_is_down_delays_and_loses_nothing(
    node: ReportingNode,
    fake_registry: FakeRegistry,
    token_file: Path,
    aggregator: AggregatorProgram,
) -> None:
    image = fake_registry.add("no-review/app:1", make_image(seed="no review"))
    token_file.write_text("of.web.anywhere")
    node.kube.fail(Failure(how=CLOSE, method="POST"))

    ended = node.run(
        image,
        metrics_endpoint=aggregator.endpoint,
        metrics_token_file=token_file,
    )

    assert 0 == ended.code
    assert {image: "succeeded"} == aggregator.states(INSTANCE, NODE)


def test_reading_may_need_the_token_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("let-me-in")
    flags = ["--auth=token-file", f"--auth-token-file={tmp_path / 'secret'}", "--auth-read"]

    with AggregatorProgram(tmp_path, *flags, keeps=False) as aggregator:
        found = [aggregator.ask("/metrics", token=token).status for token in ("", "wrong", "let-me-in")]

    assert [401, 401, 200] == found
