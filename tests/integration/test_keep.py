"""`keep`, the whole program: the images of its lists stay on the node, whatever happens to them."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from nodeprefetch.runtime.pin_labels import PINNED
from nodeprefetch.testing.images import Image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.conftest import CONTAINERDS
from tests.integration.keeping import Keep, children, finished, remove, requests_for_images, serve, wait_for_images
from tests.integration.program import Start
from tests.integration.resuming import Node
from tests.support.containerd import Containerd
from tests.support.patience import eventually

pytestmark = pytest.mark.containerd

BOTH = pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)


@BOTH
def test_an_image_that_is_removed_comes_back_and_nothing_is_asked_about_others(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep
) -> None:
    lost, lost_image = serve(fake_registry, containerd, "back/lost:1")
    kept, kept_image = serve(fake_registry, containerd, "back/kept:latest")
    running = keep(containerd, lost, kept)
    running.wait_until(finished(1), "the first run")
    before = len(fake_registry.requests)

    remove(containerd, lost)
    running.wait_until(finished(2), "the second run")

    wait_for_images(containerd, {lost: lost_image, kept: kept_image})
    assert {"back/lost"} == {repository for _, _, repository in requests_for_images(fake_registry, before)}


@BOTH
def test_checks_that_find_everything_ask_nobody_and_say_nothing(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep
) -> None:
    kept, _ = serve(fake_registry, containerd, "quiet/kept:latest")
    running = keep(containerd, kept, check_every="100ms")
    running.wait_until(finished(1), "the first run")
    checks: set[int] = set()

    assert eventually(lambda: checks.update(children(running.pid)) or len(checks) > 4)
    running.send(signal.SIGTERM)
    ended = running.end()

    assert 128 + signal.SIGTERM == ended.code
    assert 1 == len(ended.lines("run started"))
    assert 1 == len(fake_registry.requests.of(method="HEAD"))
    assert "keeping images" == ended.log[0]["msg"]
    assert "run finished" == ended.summary["msg"]


@BOTH
def test_a_tag_that_has_moved_is_pulled_and_one_that_has_not_costs_one_request(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep
) -> None:
    moved, _ = serve(fake_registry, containerd, "tags/moved:latest")
    still, still_image = serve(fake_registry, containerd, "tags/still:latest")
    fixed, fixed_image = serve(fake_registry, containerd, "tags/fixed:1")
    running = keep(containerd, moved, still, fixed, check_every="10m", refresh_every="2s")
    running.wait_until(finished(1), "the first run")
    before = len(fake_registry.requests)
    running.wait_until(finished(2), "a run that finds nothing new")
    asked = requests_for_images(fake_registry, before)

    _, new_image = serve(fake_registry, containerd, "tags/moved:latest", seed="new")
    wait_for_images(containerd, {moved: new_image, still: still_image, fixed: fixed_image})

    assert [("HEAD", "manifest", "tags/moved"), ("HEAD", "manifest", "tags/still")] == sorted(asked)[:2]
    assert {("HEAD", "manifest")} == {(method, stage) for method, stage, _ in asked}


@BOTH
def test_of_two_edits_within_a_second_the_last_one_counts(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, tmp_path: Path
) -> None:
    first, first_image = serve(fake_registry, containerd, "edits/first:1")
    second, _ = serve(fake_registry, containerd, "edits/second:1")
    third, third_image = serve(fake_registry, containerd, "edits/third:1")
    fake_registry.fail("layer", Fault.stall(), image="edits/second:1", forever=True)
    file = tmp_path / "images.txt"
    file.write_text(f"{first}\n")
    running = keep(containerd, image_list_file=file, check_every="200ms")
    running.wait_until(finished(1), "the first run")

    file.write_text(f"{first}\n{second}\n")
    running.wait_for("pulling", image=second)
    file.write_text(f"{first}\n{third}\n")

    wait_for_images(containerd, {first: first_image, third: third_image})
    running.wait_until(finished(2), "a run of the last list")
    running.send(signal.SIGTERM)
    ended = running.end()
    assert [2, 1] == [len(ended.lines("image list changed")), len(ended.lines("run stopped"))]


def test_a_broken_list_keeps_the_last_good_one_in_force_and_is_tried_again_when_it_changes(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, tmp_path: Path
) -> None:
    first, first_image = serve(fake_registry, containerd, "broken/first:1")
    second, second_image = serve(fake_registry, containerd, "broken/second:1")
    file = tmp_path / "images.txt"
    file.write_text(f"{first}\n")
    running = keep(containerd, image_list_file=file, check_every="300ms")
    running.wait_until(finished(1), "the first run")

    file.write_text(f"{first}\n{{{{ .Values.image }}}}\n")
    running.wait_for("image list is invalid, the last valid lists stay in force")
    remove(containerd, first)
    running.wait_until(finished(2), "a check with the last good list")
    file.write_text(f"{first}\n{second}\n")

    wait_for_images(containerd, {first: first_image, second: second_image})
    running.send(signal.SIGTERM)
    assert f"{file}:2: " in running.end().stderr


@pytest.mark.parametrize("own_containerd", CONTAINERDS, indirect=True)
def test_a_runtime_that_is_down_for_a_while_is_waited_for(
    own_containerd: Containerd, fake_registry: FakeRegistry, keep: Keep
) -> None:
    name, image = serve(fake_registry, own_containerd, "down/app:1")
    running = keep(own_containerd, name, runtime_wait="0s")
    running.wait_until(finished(1), "the first run")

    own_containerd.stop()
    running.wait_for("run failed, retrying", error="exit code 3")
    own_containerd.start()
    running.wait_until(finished(2), "a run after that")
    remove(own_containerd, name)

    wait_for_images(own_containerd, {name: image})


@BOTH
def test_a_killed_run_is_one_failed_run_and_the_next_resumes(
    containerd: Containerd, fake_registry: FakeRegistry, start: Start, keep: Keep
) -> None:
    node = Node(containerd, fake_registry, start)
    name, image = node.serve("killed:1", 3_000_000)
    node.fail("killed:1", Fault.stall_after(2_500_000))
    running = keep(containerd, name, how={"environment": {"INSTANCE_NAME": node.instance}})
    node.wait_for_bytes(image, 2_000_000)
    (run,) = children(running.pid)

    os.kill(run, signal.SIGKILL)
    running.wait_for("run failed, retrying", error="killed by signal 9")

    wait_for_images(containerd, {name: image})
    assert [True, False] == [not asked for asked, _ in node.layer_requests(image)]


@pytest.mark.parametrize("containerd", ["containerd2"], indirect=True)
def test_a_pin_that_is_lost_comes_back(containerd: Containerd, fake_registry: FakeRegistry, keep: Keep) -> None:
    name, image = serve(fake_registry, containerd, "pins/lost:1")
    running = keep(containerd, name, pin=True, how={"environment": {"INSTANCE_NAME": "keep"}})
    running.wait_for("--pin: 1 pinned")
    running.wait_until(finished(1), "the first run")
    assert eventually(lambda: not children(running.pid))  # it has seen what is pinned

    containerd.ctr("images", "label", image.id, f"{PINNED}=")

    running.wait_until(lambda log: sum(line["msg"] == "--pin: 1 pinned" for line in log) == 2, "a second pin")


@BOTH
def test_an_image_that_leaves_the_list_is_unpinned_by_the_next_run(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, tmp_path: Path
) -> None:
    """The image stays. Where the runtime reports no pins, none are left."""
    leaves, left = serve(fake_registry, containerd, "pins/leaves:1")
    stays, kept = serve(fake_registry, containerd, "pins/stays:1")
    file = tmp_path / "images.txt"
    file.write_text(f"{leaves}\n{stays}\n")
    running = keep(containerd, pin=True, image_list_file=file, how={"environment": {"INSTANCE_NAME": "keep"}})
    running.wait_until(finished(1), "the first run")
    both = pinned(containerd, left, kept)

    file.write_text(f"{stays}\n")
    running.wait_until(finished(2), "a run of the new list")

    has_pins = not containerd.version.startswith("1.6")
    assert both == ({left.id, kept.id} if has_pins else set())
    assert pinned(containerd, left, kept) == ({kept.id} if has_pins else set())
    wait_for_images(containerd, {leaves: left, stays: kept})


def pinned(containerd: Containerd, *images: Image) -> set[str]:
    """IDs of those whose record says so."""
    lines = containerd.ctr("images", "ls").splitlines()
    return {line.split()[0] for line in lines if f"{PINNED}=pinned" in line} & {image.id for image in images}


def test_checks_are_silent_where_the_runtime_cannot_pin(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep
) -> None:
    name, _ = serve(fake_registry, containerd, "pins/none:1")
    running = keep(containerd, name, pin=True, check_every="100ms", how={"environment": {"INSTANCE_NAME": "keep"}})
    running.wait_until(finished(1), "the first run")
    checks: set[int] = set()

    assert eventually(lambda: checks.update(children(running.pid)) or len(checks) > 4)
    running.send(signal.SIGTERM)

    assert 1 == len([line for line in running.end().log if line["msg"].startswith("--pin disabled")])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_pull_ends_the_run_in_order_and_then_keep(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, number: signal.Signals
) -> None:
    name, _ = serve(fake_registry, containerd, f"stopped/{number}:1")
    fake_registry.fail("layer", Fault.stall(), image=f"stopped/{number}:1", forever=True)
    running = keep(containerd, name)
    running.wait_for("pulling", image=name)

    running.send(number)
    ended = running.end()

    assert 128 + number == ended.code
    assert f"cancelled by {number.name}" in ended.result(name)["error"]
    assert "run stopped" == ended.summary["msg"]


def test_lists_that_cannot_change_and_variables_work_as_with_fetch(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, tmp_path: Path
) -> None:
    piped, piped_image = serve(fake_registry, containerd, "given/piped:1")
    listed, listed_image = serve(fake_registry, containerd, "given/listed:1")
    (tmp_path / "list").write_text(listed)
    variables = {"NODEPREFETCH_IMAGE_LIST_FILE": f"- {tmp_path / 'list'}", "NODEPREFETCH_CHECK_EVERY": "200ms"}
    how = {"stdin": piped.encode(), "environment": variables}
    running = keep(containerd, how=how, check_every=None)
    running.wait_until(finished(1), "the first run")

    remove(containerd, piped)
    running.wait_until(finished(2), "a check")

    wait_for_images(containerd, {piped: piped_image, listed: listed_image})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a:1", "--check-every=0"], "--check-every: must be greater than 0"),
        (["a:1", "--report-every=0"], "--report-every: must be greater than 0"),
        (["a:1", "--refresh-every=soon"], "--refresh-every: invalid duration 'soon'"),
        (["a:1", "--overall-timeout=x"], "--overall-timeout: invalid duration 'x'"),
        (["A"], "argument 1"),
        ([], "no images given"),
        (["--image-list-file=/nowhere"], "/nowhere: cannot be read"),
    ],
)
def test_wrong_usage_ends_it_at_once(start: Start, arguments: Sequence[str], problem: str) -> None:
    ended = start("keep", *arguments).end()

    assert 2 == ended.code
    assert problem in ended.stderr
