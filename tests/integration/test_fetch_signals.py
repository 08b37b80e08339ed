"""SIGTERM and SIGINT end a run in order, whatever it is at; a second one ends it at once."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.node import image_ids, wait_for_log
from tests.integration.program import (
    StartFetch,
    command,
    fetch_arguments,
    private_environment,
    seconds_to_end,
)
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
IN_ORDER = 20.0
"""Seconds in which a run has to end after a signal."""


@pytest.mark.containerd
@SIGNALS
def test_a_signal_in_mid_pull_ends_the_run_in_order(
    containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch, number: signal.Signals
) -> None:
    there = fake_registry.add("signal/there:1", make_image(seed=f"signal there {number}"))
    slow = fake_registry.add("signal/slow:1", make_image((3_000_000,), seed=f"signal slow {number}"))
    waiting = fake_registry.add("signal/waiting:1", make_image(seed=f"signal waiting {number}"))
    fake_registry.fail("layer", Fault.stall_after(1_000_000), image="signal/slow:1", forever=True)
    fake_registry.fail("manifest", Fault.status(503), image="signal/waiting:1", forever=True)
    fetch = start_fetch(
        containerd, there, slow, waiting, initial_pull_attempt_delay="40s", max_pull_attempt_delay="40s", debug=True
    )
    fetch.wait_for("image succeeded", image=there)
    fetch.wait_for("retrying after delay", image=waiting)
    fake_registry.requests.wait_until(
        lambda seen: any(each.stage == "layer" and each.repository == "signal/slow" for each in seen)
    )

    seconds, ended = seconds_to_end(fetch, number)

    assert 128 + number == ended.code
    assert seconds < IN_ORDER
    assert {there: "succeeded", slow: "failed", waiting: "failed"} == ended.outcomes
    assert f"cancelled by {number.name}" in ended.result(slow)["error"]
    assert "503" in ended.result(waiting)["error"]
    assert ("run stopped", 1, 2) == tuple(ended.summary[key] for key in ("msg", "succeeded", "failed"))
    fake_registry.requests.wait_until(
        lambda seen: any(each.cut_by_client for each in seen if each.repository == "signal/slow")
    )
    wait_for_log(containerd, rf'PullImage \\"{slow}\\" failed" error="rpc error: code = Canceled')
    assert {slow: ""} == image_ids(containerd, [slow])


@SIGNALS
def test_a_signal_ends_the_search_for_a_runtime(
    start_fetch: StartFetch, short_path: Path, number: signal.Signals
) -> None:
    fetch = start_fetch(None, "registry.test/app:1", cri_socket=short_path / "none.sock", runtime_wait="40s")
    wait_for_trio(fetch.pid)

    seconds, ended = seconds_to_end(fetch, number)

    assert 128 + number == ended.code
    assert seconds < IN_ORDER
    assert {"registry.test/app:1": "failed"} == ended.outcomes
    assert "run stopped" == ended.summary["msg"]


@pytest.mark.containerd
def test_a_signal_ends_the_wait_for_a_runtime_that_is_gone(
    own_containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    name = fake_registry.add("signal/gone:1", make_image())
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = start_fetch(own_containerd, name)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    own_containerd.kill()
    fetch.wait_for("container runtime unavailable, pulls paused")

    seconds, ended = seconds_to_end(fetch, signal.SIGTERM)

    assert (143, {name: "failed"}) == (ended.code, ended.outcomes)
    assert seconds < IN_ORDER


@pytest.mark.containerd
def test_a_signal_does_not_wait_for_a_runtime_that_hangs(
    own_containerd: Containerd, fake_registry: FakeRegistry, start_fetch: StartFetch
) -> None:
    name = fake_registry.add("signal/hangs:1", make_image())
    fake_registry.fail("layer", Fault.stall(), forever=True)
    fetch = start_fetch(own_containerd, name, debug=True)
    fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
    assert own_containerd.pid is not None
    os.kill(own_containerd.pid, signal.SIGSTOP)
    try:
        seconds, ended = seconds_to_end(fetch, signal.SIGTERM)
    finally:
        os.kill(own_containerd.pid, signal.SIGCONT)

    assert (143, {name: "failed"}) == (ended.code, ended.outcomes)
    assert seconds < IN_ORDER


class FullPipe:
    """A standard error that takes nothing more once it is full: who writes to it blocks."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        # Two descriptions, so that ours does not block and the program's does.
        self._ours = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._ours, fcntl.F_SETPIPE_SZ, 4096)
        self.theirs = os.open(path, os.O_WRONLY)

    def fill(self) -> None:
        with suppress(BlockingIOError):
            while True:
                os.write(self._ours, b"." * 512)

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def full_pipe(tmp_path: Path) -> Iterator[FullPipe]:
    pipe = FullPipe(tmp_path / "stderr")
    yield pipe
    pipe.close()


def wait_for_trio(pid: int) -> None:
    """Block until the signals are waited for: their handlers are in the kernel's mask of caught ones."""
    wanted = 1 << (signal.SIGTERM - 1)
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught, 16) & wanted:
            return


@pytest.mark.containerd
@pytest.mark.parametrize("blocked", ["at the end", "all the time"])
def test_a_signal_ends_in_order_also_where_standard_error_takes_nothing(
    containerd: Containerd, fake_registry: FakeRegistry, full_pipe: FullPipe, blocked: str
) -> None:
    name = fake_registry.add("signal/second:1", make_image(seed=f"second {blocked}"))
    fake_registry.fail("layer", Fault.stall(), forever=True)
    if blocked == "all the time":
        full_pipe.fill()
    with subprocess.Popen(
        command(fetch_arguments(containerd, [name], {})), env=private_environment(), stderr=full_pipe.theirs
    ) as process:
        try:
            fake_registry.requests.wait_until(lambda seen: any(each.stage == "layer" for each in seen))
            full_pipe.fill()

            process.send_signal(signal.SIGTERM)

            assert 143 == process.wait(PATIENCE)
            fake_registry.requests.wait_until(lambda seen: any(each.cut_by_client for each in seen))
        finally:
            process.kill()
