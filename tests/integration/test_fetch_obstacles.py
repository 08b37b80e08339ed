"""What stands in the way passes, and `fetch` gets over it: slow, stalled, gone and back again."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.images import Image, make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.node import image_ids, wait_for_log
from tests.integration.program import RunFetch, StartFetch
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry
from tests.support.proxy import FaultProxy, Passage

pytestmark = pytest.mark.containerd

MB = 1_000_000


def proxy_to(address: str, *script: Passage) -> FaultProxy:
    host, _, port = address.rpartition(":")
    return FaultProxy((host, int(port)), script)


def test_a_stalled_first_connection_is_got_over(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    image = make_image(seed="stalled")
    fake_registry.add("stalled/app:1", image)
    with proxy_to(fake_registry.address, Passage.stall()) as proxy:
        name = f"{proxy.address}/stalled/app:1"

        ended = run_fetch(containerd, name, initial_pull_attempt_timeout="2s")

    assert 0 == ended.code
    assert [(1, "passing", "stalled")] == [
        (line["attempt"], line["class"], line["reason"]) for line in ended.lines("attempt failed")
    ]
    assert [(1, 2.0), (2, 4.0)] == [(line["attempt"], line["limit"]) for line in ended.lines("pulling")]
    assert {name: image.id} == image_ids(containerd, [name])


def test_limits_double_until_a_slow_image_fits(containerd: Containerd, run_fetch: RunFetch) -> None:
    """3 s of download: cut at 0.5, 1 and 2 s; 4 s are enough, on a slow machine 8.

    Each time from the beginning, as the registry knows no ranges.
    """
    image = make_image((300_000,), seed="slow")
    with FakeRegistry(ranges=False) as registry:
        name = registry.add("slow/app:1", image)
        registry.fail("layer", Fault.slow(100_000), image="slow/app:1", forever=True)

        ended = run_fetch(containerd, name, initial_pull_attempt_timeout="500ms", attempt_clock="wall")

    limits = [line["limit"] for line in ended.lines("pulling")]
    assert 0 == ended.code
    assert 4 <= len(limits)
    assert [0.5 * 2**number for number in range(len(limits))] == limits
    assert {"timeout"} == {line["reason"] for line in ended.lines("attempt failed")}
    assert {name: image.id} == image_ids(containerd, [name])


def test_a_slow_image_that_fits_is_not_disturbed(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    image = make_image((200_000,), seed="fits")
    name = fake_registry.add("fits/app:1", image)
    fake_registry.fail("layer", Fault.slow(100_000))

    ended = run_fetch(containerd, name, initial_pull_attempt_timeout="30s")

    assert 0 == ended.code
    assert 1 == ended.result(name)["attempts"]
    assert 1 == len(fake_registry.requests.of(stage="layer"))


def test_an_attempt_cut_by_its_limit_is_cancelled_in_the_runtime(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    name = fake_registry.add("cut/app:1", make_image((3 * MB,), seed="cut"))
    fake_registry.fail("layer", Fault.stall_after(MB), forever=True)
    fetch = start_fetch(
        containerd,
        name,
        initial_pull_attempt_timeout="2s",
        initial_pull_attempt_delay="30s",
        max_pull_attempt_delay="30s",
    )

    fetch.wait_for("attempt failed", image=name, reason="stalled")

    fake_registry.requests.wait_until(lambda seen: any(each.cut_by_client for each in seen if each.stage == "layer"))
    wait_for_log(containerd, rf'PullImage \\"{name}\\" failed" error="rpc error: code = Canceled')


def test_a_missing_image_fails_at_once_and_the_others_arrive(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    there = [fake_registry.add(f"missing/app-{number}:1", make_image(seed=f"missing {number}")) for number in range(3)]
    missing = [f"{fake_registry.address}/missing/app-0:2", f"{fake_registry.address}/missing/none:1"]

    ended = run_fetch(containerd, *missing, *there)

    assert 1 == ended.code
    assert {**dict.fromkeys(missing, "failed"), **dict.fromkeys(there, "succeeded")} == ended.outcomes
    for name in missing:
        line = ended.result(name)
        assert (1, "permanent", "not_found") == (line["attempts"], line["class"], line["reason"])
        assert name in line["error"]
    assert [] == ended.lines("retrying after delay")
    assert ("run finished", 3, 2) == tuple(ended.summary[key] for key in ("msg", "succeeded", "failed"))


def test_failures_can_be_allowed(containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch) -> None:
    ended = run_fetch(containerd, f"{fake_registry.address}/allowed/none:1", allow_failures=True)

    assert (0, 1) == (ended.code, ended.summary["failed"])


def test_an_image_still_being_pushed_is_waited_for(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    name = f"{fake_registry.address}/pushed/app:1"
    fetch = start_fetch(containerd, name, retry_missing=True)
    fetch.wait_for("attempt failed", image=name, attempt=2, reason="not_found")

    fake_registry.add("pushed/app:1", make_image(seed="pushed"))

    assert {name: "succeeded"} == fetch.end().outcomes


def test_what_does_not_arrive_in_time_fails(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch
) -> None:
    there = fake_registry.add("late/there:1", make_image(seed="late there"))
    late = fake_registry.add("late/app:1", make_image(seed="late"))
    fake_registry.fail("layer", Fault.stall(), image="late/app:1", forever=True)

    ended = run_fetch(containerd, late, there, overall_timeout="3s")

    assert 1 == ended.code
    assert {late: "failed", there: "succeeded"} == ended.outcomes
    assert "overall timeout (3s) exceeded" in ended.result(late)["error"]
    assert "run timed-out" == ended.summary["msg"]


def test_a_registry_may_be_down_for_five_seconds(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    images = {
        fake_registry.add(f"down/app-{number}:1", image): image
        for number in range(4)
        for image in [make_image((MB,), seed=f"down {number}")]
    }
    fake_registry.fail("layer", *[Fault.stall_after(1000)] * 3)  # three of four are under way when it goes
    fetch = start_fetch(containerd, *images)
    fake_registry.requests.wait_until(lambda seen: 4 == sum(each.stage == "layer" for each in seen))
    fetch.wait_until(lambda log: any(line["msg"] == "image succeeded" for line in log), "one image")

    fake_registry.stop()
    time.sleep(5)
    fake_registry.start()

    ended = fetch.end()
    assert 0 == ended.code
    assert {name: image.id for name, image in images.items()} == image_ids(containerd, images)
    assert {("passing", "connection")} == {(line["class"], line["reason"]) for line in ended.lines("attempt failed")}


@pytest.mark.registry
def test_a_registry_may_restart_in_mid_pull(
    containerd: Containerd, docker_registry: DockerRegistry, short_path: Path, start_fetch: StartFetch
) -> None:
    image = make_image((4 * MB,), seed="restart")
    with DockerRegistry(short_path / "registry") as registry:
        registry.push("restart/app:1", image)
        with proxy_to(registry.address, Passage.drip(MB)) as proxy:
            name = f"{proxy.address}/restart/app:1"
            fetch = start_fetch(containerd, name)
            wait_for_bytes(proxy, MB)

            registry.restart()

            ended = fetch.end()
            first, *others = proxy.connections
    assert 0 == ended.code
    assert {name: image.id} == image_ids(containerd, [name])
    assert first.bytes_down < 4 * MB
    assert others


def wait_for_bytes(proxy: FaultProxy, wanted: int) -> None:
    end = time.monotonic() + 30
    while sum(connection.bytes_down for connection in proxy.connections) < wanted:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_runtime_that_goes_in_mid_pull_is_waited_for(
    own_containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, how: str
) -> None:
    images = {
        fake_registry.add(f"gone/app-{number}:1", image): image
        for number in range(4)
        for image in [make_image((MB, 1000), seed=f"gone {number}")]
    }
    stalled = next(iter(images))
    fake_registry.fail("layer", Fault.stall_after(MB // 2), image="gone/app-0:1", layer=0, forever=True)
    fetch = start_fetch(own_containerd, *images)
    fake_registry.requests.wait_until(
        lambda seen: any(r.stage == "layer" and r.repository == "gone/app-0" for r in seen)
    )

    own_containerd.kill() if how == "killed" else own_containerd.stop()
    fetch.wait_for("container runtime unavailable, pulls paused")
    fake_registry.heal()
    own_containerd.start()

    ended = fetch.end()
    assert 0 == ended.code
    assert {name: image.id for name, image in images.items()} == image_ids(own_containerd, images)
    assert 1 == len(ended.lines("container runtime available again"))
    assert "runtime-gone" in {line["class"] for line in ended.lines("attempt failed", image=stalled)}
    assert {30.0} == {line["limit"] for line in ended.lines("pulling")}


def test_a_runtime_that_hangs_in_mid_pull_is_got_over(
    own_containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    """Nobody can see whether the pull moves, so it is cancelled only after five looks of ten seconds."""
    image = make_image((MB,), seed="hangs")
    name = fake_registry.add("hangs/app:1", image)
    fake_registry.fail("layer", Fault.stall_after(1000))
    fetch = start_fetch(own_containerd, name, initial_pull_attempt_timeout="2s", overall_timeout="10m")
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    assert own_containerd.pid is not None
    os.kill(own_containerd.pid, signal.SIGSTOP)
    try:
        fetch.wait_for("attempt failed", image=name, reason="timeout")
        fetch.wait_for("pulling", image=name, attempt=2)
    finally:
        os.kill(own_containerd.pid, signal.SIGCONT)

    assert 0 == fetch.end().code
    assert {name: image.id} == image_ids(own_containerd, [name])


@pytest.fixture
def small_containerd(containerd: Containerd, short_path: Path) -> Iterator[Containerd]:
    """A containerd whose images have 48 MiB for themselves."""
    root = short_path / "root"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(root)], check=True)
    try:
        with Containerd(short_path / "daemon", root=root) as running:
            yield running
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(make_image((12 * MB,), seed="downloading"), id="downloading"),
        pytest.param(make_image((16 * MB,), seed="unpacking", compressible=True), id="unpacking"),
    ],
)
def test_a_full_disk_is_told_and_may_be_emptied(
    small_containerd: Containerd, short_path: Path, fake_registry: FakeRegistry, start_fetch: StartFetch, image: Image
) -> None:
    name = fake_registry.add("full/app:1", image)
    filler = short_path / "root" / "filler"
    filler.write_bytes(bytes(40 << 20))
    fetch = start_fetch(small_containerd, name)

    line = fetch.wait_for("attempt failed", image=name)
    fetch.wait_for("attempt failed", image=name, attempt=2)
    filler.unlink()

    ended = fetch.end()
    assert ("no-space", "no_space") == (line["class"], line["reason"])
    assert "no space left on device" in line["error"]
    assert 0 == ended.code
    assert {name: image.id} == image_ids(small_containerd, [name])
