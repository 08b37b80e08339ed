"""A tag that has moved: both containerds, a real registry, and an aggregator that hears of it."""

import itertools
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeprefetch.testing.images import Image, Index, make_image, make_index
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.conftest import CONTAINERDS
from tests.integration.keeping import Keep
from tests.integration.node import image_ids
from tests.integration.program import Line, RunFetch
from tests.integration.reported import ENVIRONMENT, INSTANCE, NODE, complaints
from tests.support.aggregator_program import AggregatorProgram
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry
from tests.support.patience import eventually

pytestmark = pytest.mark.containerd

BOTH = pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)
HOW = {"environment": ENVIRONMENT}
NUMBERS = itertools.count()
REQUEST = re.compile(r'http\.request\.method=(\w+) .*http\.request\.uri="?/v2/([^ "]+)/manifests/')


def fresh(name: str, seed: str = "") -> Image:
    return make_image(seed=f"moved {name} {seed} {next(NUMBERS)}")


def moves(log: list[Line]) -> list[tuple[str, str, str]]:
    return [(line["image"], line["before"], line["after"]) for line in log if line["msg"] == "tag moved"]


def finished(number: int) -> Callable[[list[Line]], bool]:
    """Whether that many runs have ended."""
    return lambda log: sum(line["msg"] == "run finished" for line in log) >= number


def shown_moves(aggregator: AggregatorProgram) -> dict[str, tuple[str, str]]:
    """By image, of our node."""
    images = [
        image
        for instance in aggregator.status(f"?node={NODE}")["instances"]
        for node in instance["nodes"]
        for image in node["images"]
    ]
    return {each["image"]: (each["moved"]["before"], each["moved"]["after"]) for each in images if "moved" in each}


def counted_moves(aggregator: AggregatorProgram) -> dict[str, float]:
    """By image."""
    text = aggregator.ask("/metrics", accept="text/plain").body.decode()
    return {
        sample.labels["image"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "nodeprefetch_tags_moved_total"
    }


def manifest_requests(registry: DockerRegistry, since: int = 0) -> Counter[tuple[str, str]]:
    """Method and repository of each answered request."""
    lines = [line for line in registry.log_text[since:].splitlines() if "response completed" in line]
    return Counter(found.groups() for line in lines if (found := REQUEST.search(line)))  # type: ignore[misc]


@BOTH
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_tag_that_has_moved_is_in_log_stream_status_and_metrics(
    containerd: Containerd, docker_registry: DockerRegistry, run_fetch: RunFetch, tmp_path: Path, protocol: str
) -> None:
    place = f"moved/{next(NUMBERS)}"
    older, newer, same = fresh("older"), fresh("newer"), fresh("same")
    moved, still = (
        docker_registry.push(f"{place}/{name}:latest", image) for name, image in (("a", older), ("b", same))
    )

    with AggregatorProgram(tmp_path, keeps=False) as aggregator, aggregator.following() as messages:
        how = {"how": HOW, "metrics_endpoint": aggregator.endpoint, "metrics_protocol": protocol}
        first = run_fetch(containerd, moved, still, **how)
        docker_registry.push(f"{place}/a:latest", newer)
        second, third = (run_fetch(containerd, moved, still, **how) for _ in range(2))
        shown, counted = shown_moves(aggregator), counted_moves(aggregator)
        assert {moved: (older.digest, newer.digest)} == shown
        heard = next(message for message in messages if message["event"] == "tag_moved")

    expected = moved, older.digest, newer.digest
    assert [[], [expected], []] == [moves(each.log) for each in (first, second, third)]
    assert expected == (heard["image"], heard["before"], heard["after"])
    assert (NODE, INSTANCE if protocol == "http" else "") == (heard["node"], heard["instance"])
    assert {moved: 1, still: 0} == counted
    assert [] == complaints(second)


@BOTH
def test_keep_finds_a_tag_that_moves_and_asks_once_about_one_that_does_not(
    containerd: Containerd, docker_registry: DockerRegistry, keep: Keep, tmp_path: Path
) -> None:
    place = f"kept/{next(NUMBERS)}"
    older, newer, same = fresh("older"), fresh("newer"), fresh("same")
    moved, still = (
        docker_registry.push(f"{place}/{name}:latest", image) for name, image in (("a", older), ("b", same))
    )

    with AggregatorProgram(tmp_path, keeps=False) as aggregator:
        how = {"how": HOW, "metrics_endpoint": aggregator.endpoint}
        running = keep(containerd, moved, still, check_every="10m", **how)
        running.wait_until(finished(1), "the first run")
        before = len(docker_registry.log_text)
        running.send(signal.SIGHUP)
        running.wait_until(finished(2), "a run that finds nothing new")
        asked = manifest_requests(docker_registry, before)
        docker_registry.push(f"{place}/a:latest", newer)
        running.send(signal.SIGHUP)
        running.wait_until(finished(3), "a run that finds the moved tag")
        running.send(signal.SIGHUP)
        log = running.wait_until(finished(4), "a run after that")
        assert eventually(lambda: shown_moves(aggregator))
        shown, counted = shown_moves(aggregator), counted_moves(aggregator)

    assert {("HEAD", f"{place}/a"): 1, ("HEAD", f"{place}/b"): 1} == asked
    assert [(moved, older.digest, newer.digest)] == moves(log)
    assert {moved: (older.digest, newer.digest)} == shown
    assert {moved: 1, still: 0} == counted


@BOTH
def test_an_index_that_changes_around_the_same_image_has_moved_there_and_back(
    containerd: Containerd, docker_registry: DockerRegistry, run_fetch: RunFetch
) -> None:
    """The runtime lists both digests of the image from then on, whichever the tag refers to."""
    image, other = fresh("image"), make_image(seed="other", architecture="s390x")
    indexes: list[Index] = [make_index([image]), make_index([image, other])]
    name = f"index/{next(NUMBERS)}:latest"
    found, ids, blobs = [], set(), []

    for index in (indexes[0], indexes[1], indexes[1], indexes[0]):
        whole = docker_registry.push(name, index)
        before = len(docker_registry.log_text)
        ended = run_fetch(containerd, whole)
        blobs.append(docker_registry.log_text[before:].count(f"/v2/{name.partition(':')[0]}/blobs/") > 0)
        found.append([(before, after) for _, before, after in moves(ended.log)])
        ids.add(image_ids(containerd, [whole])[whole])
        assert index.digest == ended.result(whole)["digest"]

    first, second = (index.digest for index in indexes)
    assert [[], [(first, second)], [], [(second, first)]] == found
    assert {image.id} == ids
    assert [True, False, False, False] == blobs


@BOTH
def test_a_pull_that_ends_in_a_later_run_is_reported_by_that_run(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    """Until then the tag refers to the older image."""
    name = f"later/{next(NUMBERS)}:latest"
    older, newer = fresh("older"), make_image((3_000_000,), seed=f"newer {containerd.version}")
    whole = fake_registry.add(name, older)
    run_fetch(containerd, whole)
    fake_registry.add(name, newer)
    fake_registry.fail("layer", Fault.stall_after(2_000_000), image=name, forever=True)

    cut = run_fetch(containerd, whole, how=HOW, overall_timeout="2s")
    left = image_ids(containerd, [whole])[whole]
    fake_registry.heal()
    after, again = (run_fetch(containerd, whole, how=HOW) for _ in range(2))

    assert ("failed", older.id) == (cut.outcomes[whole], left)
    assert [[], [(whole, older.digest, newer.digest)], []] == [moves(each.log) for each in (cut, after, again)]
