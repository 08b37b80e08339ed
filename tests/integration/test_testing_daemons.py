"""The real surroundings start, end and come back; real programs accept our images and our fake registry."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpclib.exceptions import GRPCError

from nodeprefetch.testing.images import Image, Index, make_broken_image, make_foreign_index, make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.support import spawn
from tests.support.cri_probe import call_unary
from tests.support.daemons import Containerd, DaemonError, DockerRegistry
from tests.support.publish import PushError
from tests.support.tmpfs import mounted_tmpfs

# made with bcrypt at its lowest cost from the password 1
HTPASSWD = "ann:$2b$04$hE21zvhqAZTyn1OB/Pzfb.SIt8bYmLO/bpg9uYqmBRfjpExmyR4.m\n"


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message, for less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def pull(containerd: Containerd, image: str) -> str:
    """PullImage without the client that other tests are about; the image ID."""
    answer = call_unary(containerd.socket, "/runtime.v1.ImageService/PullImage", field(1, field(1, image.encode())))
    return answer[2:].decode()


@pytest.fixture
def own_registry(docker_registry: DockerRegistry, short_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(short_path / "registry", htpasswd=HTPASSWD) as running:
        yield running


@pytest.mark.registry
def test_a_registry_with_a_password_file_wants_a_login(own_registry: DockerRegistry) -> None:
    with pytest.raises(PushError, match="401"):
        own_registry.push("app:1", make_image())
    with pytest.raises(PushError, match="401"):
        own_registry.push("app:1", make_image(), username="ann", password="2")

    own_registry.push("app:1", make_image(), username="ann", password="1")


@pytest.mark.containerd
@pytest.mark.parametrize(
    ("image", "error"),
    [(make_broken_image(), "invalid tar header"), (make_foreign_index(), "no match for platform")],
)
def test_a_broken_image_is_refused_for_its_reason(
    containerd: Containerd, fake_registry: FakeRegistry, image: Image | Index, error: str
) -> None:
    with pytest.raises(GRPCError, match=error):
        pull(containerd, fake_registry.add("daemons/broken:1", image))


@pytest.mark.containerd
def test_a_small_file_system_fills_up(containerd: Containerd, fake_registry: FakeRegistry, short_path: Path) -> None:
    large = fake_registry.add("large:1", make_image((30_000_000,), seed="large"))
    with (
        mounted_tmpfs(short_path / "disk", size=20_000_000) as disk,
        Containerd(short_path / "daemon", root=disk) as running,
        pytest.raises(GRPCError, match="no space left on device"),
    ):
        pull(running, large)

    assert str(disk) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.containerd
def test_what_is_left_mounted_is_taken_away(containerd: Containerd, short_path: Path) -> None:
    with Containerd(short_path) as running:
        left = short_path / "root" / "tmpmounts" / "left"
        left.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(left)], check=True)
        running.kill()

    assert str(left) not in Path("/proc/self/mountinfo").read_text()


def test_a_daemon_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "_STOPS_WITHIN", 0.05)
    log = tmp_path / "log"
    daemon = spawn.Daemon(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], log, {})
    daemon.wait_until(lambda: "up" in log.read_text())

    daemon.stop()

    assert not daemon.is_running


def test_a_daemon_that_does_not_get_ready_is_killed(tmp_path: Path) -> None:
    daemon = spawn.Daemon(["sleep", "60"], tmp_path / "log", {})

    with pytest.raises(DaemonError, match="did not get ready"):
        daemon.wait_until(lambda: False, patience=0.05)

    assert not daemon.is_running


def test_a_daemon_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from tests.support.spawn import Daemon\n"
        "daemon = Daemon(['sleep', '60'], pathlib.Path(sys.argv[1]), {})\n"
        "comm = pathlib.Path(f'/proc/{daemon.pid}/comm')\n"
        "daemon.wait_until(lambda: comm.read_text() == 'sleep\\n')\n"
        "print(daemon.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)

    end = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
