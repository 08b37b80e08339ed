"""A run's results at the aggregator: while it goes on, and afterwards, as every kind of reader sees them."""

import time
from pathlib import Path

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import RunFetch, StartFetch
from tests.integration.reported import (
    ENVIRONMENT,
    INSTANCE,
    NODE,
    attempts_of,
    complaints,
    kept_attempts,
    older_attempts,
    without_numbers,
)
from tests.support.aggregator_program import AggregatorProgram
from tests.support.containerd import Containerd
from tests.support.legacy_aggregator import LegacyAggregator

pytestmark = pytest.mark.containerd

OLDER_KEYS = {"attempt_id", "started_at", "image", "error", "duration_ms", "node", "size_bytes"}
HOW = {"environment": ENVIRONMENT}


def listed(registry: FakeRegistry, name: str) -> dict[str, str]:
    """Images that end in every way, and their outcomes: what is present has to be pulled before."""
    present = registry.add(f"{name}/present:1", make_image(seed=f"{name} present"))
    good = registry.add(f"{name}/good:1", make_image((50_000,), seed=f"{name} good"))
    flaky = registry.add(f"{name}/flaky:1", make_image(seed=f"{name} flaky"))
    registry.fail("manifest", *[Fault.status(503)] * 4, image=f"{name}/flaky:1")
    return {
        present: "present",
        good: "succeeded",
        flaky: "succeeded",
        f"{registry.address}/{name}/missing:1": "failed",
    }


def samples(aggregator: AggregatorProgram) -> dict[tuple[str, ...], float]:
    """Name and label values in order, to value."""
    answer = aggregator.ask("/metrics", accept="text/plain")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_reader_sees_what_the_log_says(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path, scheme: str
) -> None:
    outcomes = listed(fake_registry, f"truth-{scheme}")
    assert 0 == run_fetch(containerd, next(iter(outcomes))).code
    flags, ca_file, options = [], None, {}
    if scheme == "https":
        authority = trustme.CA()
        ca_file, key, chain, token = (tmp_path / name for name in ("ca.pem", "key.pem", "chain.pem", "token"))
        authority.cert_pem.write_to_path(ca_file)
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(key)
        certificate.cert_chain_pems[0].write_to_path(chain)
        token.write_text("let-me-in\n")
        flags = [f"--tls-cert-file={chain}", f"--tls-key-file={key}", "--auth=token-file", f"--auth-token-file={token}"]
        options = {"metrics_ca_file": ca_file, "metrics_token_file": token}

    with AggregatorProgram(tmp_path, *flags, ca_file=ca_file) as aggregator:
        ended = run_fetch(containerd, *outcomes, how=HOW, metrics_endpoint=aggregator.endpoint, **options)
        results, status, found = aggregator.results(), aggregator.status(), samples(aggregator)
        states = aggregator.states(INSTANCE, NODE)

    assert (1, outcomes, []) == (ended.code, ended.outcomes, complaints(ended))
    attempts = attempts_of(ended)
    assert len(attempts) >= 4  # flaky more than once
    assert attempts == kept_attempts(aggregator)

    assert without_numbers(attempts) == older_attempts(results)
    for result in results:
        assert set(result) <= OLDER_KEYS
        assert (NODE, "error" in result) == (result["node"], "size_bytes" not in result)
        assert abs(result["started_at"] - time.time()) < 100

    assert outcomes == states
    ((instance,), (skew, following)) = status["instances"], (status["skew"], status["next"])
    (node,) = instance["nodes"]
    assert ([], None) == (skew, following)
    assert ("failed", {"present": 1, "succeeded": 2, "failed": 1}) == (node["state"], node["counts"])
    assert (ended.lines("run started")[0]["run"], "finished") == (node["run"]["run_id"], node["run"]["end"])
    (missing,) = (image for image in node["images"] if image["state"] == "failed")
    assert ended.result(missing["image"])["error"] == missing["error"]

    succeeded = sum(not error for *_, error in attempts.elements())
    assert succeeded == found["nodeprefetch_attempts_total", "", "succeeded"]
    assert attempts.total() - succeeded == sum(
        value for (name, *labels), value in found.items() if name == "nodeprefetch_attempts_total" and labels[0]
    )
    for state, count in {"present": 1, "succeeded": 2, "failed": 1, "pulling": 0, "waiting": 0}.items():
        assert count == found["nodeprefetch_images", INSTANCE, state]
        assert float(state == "failed") == found["nodeprefetch_nodes", INSTANCE, state]


def test_results_are_seen_while_the_run_goes_on(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, tmp_path: Path
) -> None:
    quick = fake_registry.add("live/quick:1", make_image(seed="live quick"))
    slow = fake_registry.add("live/slow:1", make_image(seed="live slow"))
    fake_registry.fail("layer", Fault.stall(), image="live/slow:1", forever=True)

    with AggregatorProgram(tmp_path, keeps=False) as aggregator, aggregator.following() as messages:
        fetch = start_fetch(containerd, slow, quick, how=HOW, metrics_endpoint=aggregator.endpoint)
        for message in messages:
            if (message["event"], message.get("image")) == ("image_finished", quick):
                break
        delay = time.time() - message["at"]
        states, results = aggregator.states(INSTANCE, NODE), aggregator.results()
        fake_registry.heal()
        ended = fetch.end()
        last = next(message for message in messages if message["event"] == "run_finished")

    assert {slow: "pulling", quick: "succeeded"} == states
    assert {(quick, ""): 1} == older_attempts(results)
    assert (0, {slow: "succeeded", quick: "succeeded"}) == (ended.code, ended.outcomes)
    assert (NODE, INSTANCE, ended.summary["run"], 2) == tuple(
        last[name] for name in ("node", "instance", "run_id", "succeeded")
    )
    assert delay < 2


def test_without_the_name_of_a_node_the_host_is_named(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    image = fake_registry.add("host/app:1", make_image(seed="host"))

    with AggregatorProgram(tmp_path, keeps=False) as aggregator:
        ended = run_fetch(containerd, image, metrics_endpoint=aggregator.endpoint)
        (result,) = aggregator.results()

    assert ended.lines("run started")[0]["node"] == result["node"] != ""
    assert [] == complaints(ended)


def test_two_nodes_with_different_images_of_a_tag_are_shown(
    containerd: Containerd,
    own_containerd: Containerd,
    fake_registry: FakeRegistry,
    run_fetch: RunFetch,
    tmp_path: Path,
) -> None:
    older, newer = make_image(seed="skew 1"), make_image(seed="skew 2")
    name = fake_registry.add("skew/app:1", older)

    with AggregatorProgram(tmp_path, keeps=False) as aggregator:
        run_fetch(
            containerd,
            name,
            how={"environment": ENVIRONMENT | {"NODE_NAME": "node-1"}},
            metrics_endpoint=aggregator.endpoint,
        )
        fake_registry.add("skew/app:1", newer)
        run_fetch(
            own_containerd,
            name,
            how={"environment": ENVIRONMENT | {"NODE_NAME": "node-2"}},
            metrics_endpoint=aggregator.endpoint,
        )
        (skewed,), found = aggregator.status()["skew"], samples(aggregator)

    assert name == skewed["image"]
    assert {older.digest: ["node-1"], newer.digest: ["node-2"]} == {
        each["digest"]: each["examples"] for each in skewed["digests"]
    }
    assert 1 == found["nodeprefetch_digest_skew_images",]


def test_the_older_aggregator_hears_every_attempt(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    """It needs no flag: that it does not speak our stream turns out."""
    outcomes = listed(fake_registry, "older")
    assert 0 == run_fetch(containerd, next(iter(outcomes))).code

    with LegacyAggregator(tmp_path) as older:
        ended = run_fetch(containerd, *outcomes, how=HOW, metrics_endpoint=older.endpoint)
        results = older.results()

    assert (1, outcomes) == (ended.code, ended.outcomes)
    assert without_numbers(attempts_of(ended)) == older_attempts(results)
    assert {NODE} == {result["node"] for result in results}
    (complaint,) = complaints(ended)
    assert "does not support this protocol" in complaint


def test_a_run_that_is_cut_reaches_the_older_aggregator(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    stuck = fake_registry.add("older-cut/stuck:1", make_image(seed="older cut"))
    fake_registry.fail("layer", Fault.stall(), forever=True)

    with LegacyAggregator(tmp_path) as older:
        ended = run_fetch(containerd, stuck, how=HOW, metrics_endpoint=older.endpoint, overall_timeout="1s")
        results = older.results()

    assert (1, "run timed-out") == (ended.code, ended.lines("run timed-out")[0]["msg"])
    assert {stuck} == {result["image"] for result in results if result["error"]}
    assert without_numbers(attempts_of(ended)) == older_attempts(results)


def test_the_older_manifests_start_an_aggregator_that_the_older_protocol_feeds(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    image = fake_registry.add("alias/app:1", make_image(seed="alias"))

    with AggregatorProgram(tmp_path, "--debug", command="aggregate-metrics", keeps=False) as aggregator:
        ended = run_fetch(containerd, image, how=HOW, metrics_endpoint=aggregator.endpoint, metrics_protocol="grpc")
        (result,) = aggregator.results()

    assert (0, []) == (ended.code, complaints(ended))
    assert (image, NODE, ended.result(image)["size"]) == tuple(result[key] for key in ("image", "node", "size_bytes"))
