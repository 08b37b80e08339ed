"""The real surroundings start, end and come back; real programs accept our images and our fake registry."""

import http.client
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from grpclib.exceptions import GRPCError

from nodeprefetch.testing.images import Image, Index, make_broken_image, make_foreign_index, make_image, make_index
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.support import daemons, spawn
from tests.support.cri_probe import answers_cri, call_unary
from tests.support.daemons import Containerd, DaemonError, DockerRegistry
from tests.support.publish import PushError, push, write_oci_layout
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


@pytest.fixture(params=["image", "index"])
def image(request: pytest.FixtureRequest) -> Image | Index:
    one = make_image((50_000, 1_000_000), seed="daemons")
    return one if request.param == "image" else make_index([one, make_foreign_index().images[0]])


@pytest.fixture
def own_registry(docker_registry: DockerRegistry, short_path: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(short_path / "registry", htpasswd=HTPASSWD) as running:
        yield running


@pytest.mark.registry
@pytest.mark.containerd
def test_containerd_pulls_what_was_pushed_to_a_registry(
    containerd: Containerd, docker_registry: DockerRegistry, image: Image | Index
) -> None:
    name = docker_registry.push("daemons/pushed:1", image)

    assert image.images[0].id == pull(containerd, name)
    assert name in containerd.ctr("images", "ls", "-q").splitlines()


@pytest.mark.registry
def test_a_push_twice_sends_blobs_once(docker_registry: DockerRegistry) -> None:
    image = make_image((1000,), seed="twice")
    docker_registry.push("daemons/twice:1", image)
    uploads = docker_registry.log_text.count("/v2/daemons/twice/blobs/uploads/")

    whole = push(image, f"{docker_registry.address}/daemons/twice:2")

    assert f"{docker_registry.address}/daemons/twice@{image.digest}" == whole
    assert uploads == docker_registry.log_text.count("/v2/daemons/twice/blobs/uploads/")


@pytest.mark.registry
def test_a_registry_with_a_password_file_wants_a_login(own_registry: DockerRegistry) -> None:
    with pytest.raises(PushError, match="401"):
        own_registry.push("app:1", make_image())
    with pytest.raises(PushError, match="401"):
        own_registry.push("app:1", make_image(), username="ann", password="2")

    own_registry.push("app:1", make_image(), username="ann", password="1")


@pytest.mark.registry
def test_a_registry_comes_back_on_its_port_with_its_images(own_registry: DockerRegistry) -> None:
    name = own_registry.push("app:1", make_image(), username="ann", password="1")

    own_registry.stop()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(own_registry.address).connect()
    own_registry.start()
    own_registry.start()
    own_registry.restart()

    assert name == own_registry.push("app:1", make_image(), username="ann", password="1")


def test_a_push_needs_a_whole_name() -> None:
    with pytest.raises(PushError, match="HOST:PORT/NAME:TAG"):
        push(make_image(), "app")


@pytest.mark.containerd
def test_containerd_pulls_from_the_fake_registry(
    containerd: Containerd, fake_registry: FakeRegistry, image: Image | Index
) -> None:
    one = image.images[0]
    assert one.id == pull(containerd, fake_registry.add("daemons/fake:1", image))

    assert {"manifest", "config", "layer"} >= {request.stage for request in fake_registry.requests}
    assert "HEAD" == fake_registry.requests[0].method
    assert fake_registry.requests[0].user_agent.startswith("containerd/")


@pytest.mark.containerd
def test_a_layer_that_breaks_off_is_resumed_by_range(containerd: Containerd, fake_registry: FakeRegistry) -> None:
    image = make_image((3_000_000,), seed="resumed")
    name = fake_registry.add("daemons/resumed:1", image)
    fake_registry.fail("layer", Fault.drop_after(2_000_000))

    assert image.id == pull(containerd, name)
    assert ["", "bytes=2000000-"] == [request.range for request in fake_registry.requests.of(stage="layer")]


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
def test_a_host_can_be_served_by_a_registry_of_ours(containerd: Containerd, fake_registry: FakeRegistry) -> None:
    image = make_image(seed="host")
    fake_registry.add("app:1", image)
    containerd.use_registry("registry.test", fake_registry.url)

    assert image.id == pull(containerd, "registry.test/app:1")


@pytest.mark.containerd
def test_a_host_can_have_a_certificate_of_ours(containerd: Containerd, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    image = make_image(seed="certificate")
    with FakeRegistry(tls=server) as registry:
        registry.add("app:1", image)
        containerd.use_registry("tls.test", registry.url, ca=tmp_path / "ca.pem")

        assert image.id == pull(containerd, "tls.test/app:1")


@pytest.mark.containerd
def test_an_oci_layout_can_be_imported(containerd: Containerd, tmp_path: Path) -> None:
    write_oci_layout(make_image(seed="layout"), tmp_path / "layout", tag="v1")
    archive = tmp_path / "layout.tar"
    subprocess.run(["tar", "-C", str(tmp_path / "layout"), "-cf", str(archive), "."], check=True)

    containerd.ctr("images", "import", "--base-name", "layout.test/app", str(archive))

    assert "layout.test/app:v1" in containerd.ctr("images", "ls", "-q").splitlines()


@pytest.mark.containerd
def test_a_failure_of_ctr_is_told(containerd: Containerd) -> None:
    with pytest.raises(DaemonError, match="not found"):
        containerd.ctr("images", "label", "none.test/app:1", "a=b")


@pytest.mark.containerd
def test_a_killed_containerd_comes_back_with_its_images(
    own_containerd: Containerd, fake_registry: FakeRegistry
) -> None:
    name = fake_registry.add("app:1", make_image(seed="killed"))
    pull(own_containerd, name)

    own_containerd.kill()
    assert own_containerd.pid is None
    assert not answers_cri(own_containerd.socket)
    own_containerd.start()
    own_containerd.start()
    own_containerd.restart()

    assert name in own_containerd.ctr("images", "ls", "-q").splitlines()
    assert 3 == own_containerd.log_text.count("containerd successfully booted")


@pytest.mark.containerd
def test_images_can_be_kept_on_a_file_system_of_their_own(containerd: Containerd, short_path: Path) -> None:
    with Containerd(short_path / "daemon", root=short_path / "elsewhere"):
        assert (short_path / "elsewhere" / "io.containerd.content.v1.content").is_dir()


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


def test_a_file_system_that_cannot_be_mounted_is_an_error(short_path: Path) -> None:
    with pytest.raises(DaemonError, match="No tmpfs at"), mounted_tmpfs(short_path, size=-1):
        pass


@pytest.mark.containerd
def test_what_is_left_mounted_is_taken_away(containerd: Containerd, short_path: Path) -> None:
    with Containerd(short_path) as running:
        left = short_path / "root" / "tmpmounts" / "left"
        left.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(left)], check=True)
        running.kill()

    assert str(left) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.containerd
def test_a_daemon_that_does_not_start_shows_its_log(containerd: Containerd, short_path: Path) -> None:
    with pytest.raises(DaemonError, match="ended with status 1"), Containerd(short_path, extra_config="= ="):
        pass


@pytest.mark.containerd
def test_a_path_too_long_for_a_socket_is_refused(containerd: Containerd, short_path: Path) -> None:
    with pytest.raises(DaemonError, match="too long"):
        Containerd(short_path / ("d" * 100))


def test_a_program_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spawn, "_SYSTEM_PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")

    assert ("containerd", "runc", "docker-registry", "skopeo") == daemons.missing_programs()
    assert "containerd, runc" in str(daemons.why_no_containerd())
    assert "docker-registry" in str(daemons.why_no_docker_registry())
    with pytest.raises(DaemonError, match="containerd not found"):
        Containerd(tmp_path)
    with pytest.raises(DaemonError, match="docker-registry not found"):
        DockerRegistry(tmp_path)


def test_containerd_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "missing_programs", lambda _: ())
    monkeypatch.setattr(daemons, "geteuid", lambda: 1000)

    assert "containerd needs root" == daemons.why_no_containerd()


def test_a_program_without_a_version_is_no_containerd(short_path: Path) -> None:
    with pytest.raises(DaemonError, match="--version says"):
        Containerd(short_path, binary="/bin/true")


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
