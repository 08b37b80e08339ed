"""What `fetch` is for: the images of a list are on the node in the end, and nothing is fetched twice."""

import signal
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image, make_layer
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.node import image_ids
from tests.integration.program import RunFetch, StartFetch
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry

pytestmark = pytest.mark.containerd


def test_twenty_images_arrive_and_shared_layers_are_fetched_once(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tmp_path: Path
) -> None:
    bases = [make_layer(200_000, seed=f"twenty base {number}") for number in range(3)]
    images = {
        fake_registry.add(f"twenty/app-{number}:1", image): image
        for number in range(20)
        for image in [make_image((20_000,), seed=f"twenty {number}", layers=bases[: number % 4])]
    }
    (tmp_path / "images.txt").write_text("\n".join(images))

    ended = run_fetch(containerd, image_list_file=tmp_path / "images.txt")

    assert 0 == ended.code
    assert dict.fromkeys(images, "succeeded") == ended.outcomes
    assert {name: image.id for name, image in images.items()} == image_ids(containerd, images)
    fetched = Counter(request.reference for request in fake_registry.requests.of(stage="layer"))
    assert dict.fromkeys((blob.digest for image in images.values() for blob in image.layers), 1) == fetched


def test_images_come_from_a_real_registry(
    containerd: Containerd, docker_registry: DockerRegistry, run_fetch: RunFetch
) -> None:
    images = {
        docker_registry.push(f"fetch/app-{number}:1", image): image
        for number in range(3)
        for image in [make_image((500_000, 10_000), seed=f"real {number}")]
    }

    ended = run_fetch(containerd, *images)

    assert 0 == ended.code
    assert {name: image.id for name, image in images.items()} == image_ids(containerd, images)
    for name, image in images.items():
        assert (image.size, image.digest) == (ended.result(name)["size"], ended.result(name)["digest"])


def test_a_registry_is_not_asked_for_what_is_present(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    images = [fake_registry.add(f"present/app-{number}:1", make_image(seed=f"present {number}")) for number in range(5)]
    assert 0 == run_fetch(containerd, *images).code
    fake_registry.requests.clear()

    ended = run_fetch(containerd, *images)

    assert 0 == ended.code
    assert dict.fromkeys(images, "present") == ended.outcomes
    assert [] == ended.lines("pulling")
    assert 0 == len(fake_registry.requests)


def test_what_may_have_moved_is_asked_for_but_not_fetched_again(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    latest = fake_registry.add("moved/app:latest", make_image(seed="moved latest"))
    tagged = fake_registry.add("moved/app:1", make_image(seed="moved 1"))
    assert 0 == run_fetch(containerd, latest, tagged).code
    fake_registry.requests.clear()

    assert {latest: "succeeded", tagged: "present"} == run_fetch(containerd, latest, tagged).outcomes
    assert [("HEAD", "latest")] == [(each.method, each.reference) for each in fake_registry.requests]
    fake_registry.requests.clear()

    assert {latest: "succeeded", tagged: "succeeded"} == run_fetch(
        containerd, latest, tagged, pull_policy="Always"
    ).outcomes
    assert {("HEAD", "latest"), ("HEAD", "1")} == {(each.method, each.reference) for each in fake_registry.requests}


def test_an_image_that_moved_is_pulled_anew(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    name = fake_registry.add("anew/app:latest", make_image(seed="anew 1"))
    assert 0 == run_fetch(containerd, name).code
    newer = make_image(seed="anew 2")
    fake_registry.add("anew/app:latest", newer)

    assert 0 == run_fetch(containerd, name).code
    assert {name: newer.id} == image_ids(containerd, [name])


@pytest.mark.parametrize("tag", ["", ":1", ":other"])
def test_an_image_is_found_by_its_digest(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, tag: str
) -> None:
    """A tag beside the digest says nothing: it need not even be there."""
    image = make_image(seed=f"digest {tag}")
    fake_registry.add("digest/app:1", image)
    name = f"{fake_registry.address}/digest/app{tag}@{image.digest}"
    assert {name: "succeeded"} == run_fetch(containerd, name).outcomes
    fake_registry.requests.clear()

    assert {name: "present"} == run_fetch(containerd, name).outcomes
    assert 0 == len(fake_registry.requests)


def test_a_list_comes_from_standard_input_as_people_write_them(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    one, two = (fake_registry.add(f"stdin/app-{number}:1", make_image(seed=f"stdin {number}")) for number in (1, 2))
    text = f"\ufeff# images\r\n\r\n  {one}  # the first\r\n{two}\r\n{one}\r\n"

    ended = run_fetch(containerd, two, image_list_file="-", how={"stdin": text.encode()})

    assert 0 == ended.code
    assert {one: "succeeded", two: "succeeded"} == ended.outcomes
    assert {one, two} == {line["image"] for line in ended.lines("pulling", attempt=1)}
    assert 2 == len(ended.lines("pulling"))


def test_two_runs_at_once_fetch_each_layer_once(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    images = {
        fake_registry.add(f"both/app-{number}:1", image): image
        for number in range(3)
        for image in [make_image((300_000, 300_000), seed=f"both {number}")]
    }
    fake_registry.fail("layer", *[Fault.stall_after(1000)] * 6)
    runs = [start_fetch(containerd, *images)]
    fake_registry.requests.wait_until(lambda seen: 6 == sum(each.stage == "layer" for each in seen))
    runs.append(start_fetch(containerd, *images))
    fake_registry.requests.wait_until(lambda seen: 6 == sum(each.method == "HEAD" for each in seen))
    fake_registry.release()

    ended = [run.end() for run in runs]

    assert [0, 0] == [each.code for each in ended]
    assert [dict.fromkeys(images, "succeeded")] * 2 == [each.outcomes for each in ended]
    fetched = Counter(request.reference for request in fake_registry.requests.of(stage="layer"))
    assert dict.fromkeys((blob.digest for image in images.values() for blob in image.layers), 1) == fetched


def test_of_two_runs_the_stopped_one_does_not_harm_the_other(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    image = make_image((3_000_000,), seed="other")
    name = fake_registry.add("other/app:1", image)
    fake_registry.fail("layer", Fault.stall_after(2_000_000))
    stopped = start_fetch(containerd, name)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    other = start_fetch(containerd, name)
    fake_registry.requests.wait_until(lambda seen: sum(each.method == "HEAD" for each in seen) == 2)

    stopped.send(signal.SIGTERM)

    assert 143 == stopped.end().code
    assert 0 == other.end().code
    assert {name: image.id} == image_ids(containerd, [name])


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_pulls_than_allowed_run_at_once(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, at_once: int
) -> None:
    images = [
        fake_registry.add(f"limit/app-{number}:1", make_image((20_000,), seed=f"limit {at_once} {number}"))
        for number in range(5)
    ]
    fake_registry.fail("layer", Fault.slow(100_000), forever=True)

    ended = run_fetch(containerd, *images, max_parallel_pulls=at_once)

    changes = []
    for number in range(5):
        asked = fake_registry.requests.of(repository=f"limit/app-{number}")
        changes += [(min(each.started for each in asked), 1), (max(each.ended or 0 for each in asked), -1)]
    assert 0 == ended.code
    assert at_once == max(accumulate(change for _, change in sorted(changes)))


def test_debug_lists_images_before_and_after(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    name = fake_registry.add("debug/app:1", make_image(seed="debug"))

    ended = run_fetch(containerd, name, debug=True)

    (before,) = ended.lines("images present before the pulls")
    (after,) = ended.lines("images present after the pulls")
    assert 0 == ended.code
    assert name not in before.get("images", [])
    assert name in after["images"]
