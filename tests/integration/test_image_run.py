"""The image in containers: a read-only root, no capabilities, no network, by a user without rights."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from nodeprefetch import __version__
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.image import NOBODY, Container, Unpacked, archive, run_container, unpack
from tests.integration.node import image_ids
from tests.integration.program import command
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry

MEBIBYTE = 1 << 20

pytestmark = [pytest.mark.image, pytest.mark.containerd, pytest.mark.registry, pytest.mark.slow]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    image = unpack(archive(), tmp_path_factory.mktemp("image"))
    for place in ("proc", "dev", "sys", "data", "run/containerd"):  # runc would make what it mounts on
        (image.rootfs / place).mkdir(parents=True)
    for place in ("run/containerd/containerd.sock", "run/cri.sock"):
        (image.rootfs / place).touch()
    return image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory as a pod's volume is."""
    directory = tmp_path / "data"
    directory.mkdir()
    subprocess.run(["chown", str(NOBODY), directory], check=True)
    return directory


def test_it_tells_its_version(image: Unpacked) -> None:
    ended = run_container(image, "--version")

    assert (0, f"{__version__}\n", "") == (ended.code, ended.stdout, ended.stderr)


@pytest.mark.parametrize("arguments", [["--help"], ["fetch", "--help"], ["aggregate", "--help"]])
def test_its_help_is_whole(image: Unpacked, arguments: list[str]) -> None:
    """Though no sources are there, from which docstrings could be read."""
    here = subprocess.run(command(arguments), capture_output=True, text=True, check=True, env={"LANG": "C.UTF-8"})

    ended = run_container(image, *arguments)

    assert (0, here.stdout) == (ended.code, ended.stdout)


def test_sleep_is_the_first_process_and_ends_in_order(image: Unpacked) -> None:
    with Container(image, "sleep") as container:
        container.wait_until(lambda: "Sleeping..." in container.stderr, "Sleeping...")
        status = container.status
        container.signal(signal.SIGTERM)
        ended = container.end()

    assert "1" == status["NSpid"].split()[-1]
    assert [str(NOBODY)] * 4 == status["Uid"].split()
    assert "0000000000000000" == status["CapEff"]
    assert (0, "Sleeping...\n") == (ended.code, ended.stderr)


def test_fetch_pulls_through_the_mounted_socket(
    image: Unpacked, containerd: Containerd, docker_registry: DockerRegistry
) -> None:
    """The runtime has the network, the container has none. Root without capabilities owns the socket: it is let in."""
    docker_registry.push("image/fetch:1", make_image(seed="in the image"))
    name = f"{docker_registry.address}/image/fetch:1"
    before = image.state()

    ended = run_container(
        image, "fetch", "--log-format=json", name, user=0, mounts={"/run/containerd/containerd.sock": containerd.socket}
    )

    assert 0 == ended.code, ended.stderr
    assert {name: "succeeded"} == ended.outcomes
    assert image_ids(containerd, [name])[name]
    assert before == image.state()


def test_fetch_by_the_image_s_own_user_is_kept_from_the_socket(image: Unpacked, containerd: Containerd) -> None:
    ended = run_container(
        image,
        *("fetch", "--runtime-wait=100ms", "--cri-socket=/run/cri.sock", "registry.test/a:1"),
        mounts={"/run/cri.sock": containerd.socket},
    )

    assert 3 == ended.code
    assert "ermission" in ended.stderr


def test_results_are_kept_in_the_mounted_directory(
    image: Unpacked, containerd: Containerd, docker_registry: DockerRegistry, data: Path
) -> None:
    docker_registry.push("image/kept:1", make_image(seed="kept"))
    name = f"{docker_registry.address}/image/kept:1"
    before = image.state()

    with Container(image, "aggregate", "--data-dir=/data", mounts={"/data": data}) as aggregator:
        aggregator.wait_until(lambda: aggregator.curl("http://127.0.0.1:8080/healthz")[0] == 200, "/healthz")
        fetched = run_container(
            image,
            *("fetch", "--cri-socket=/run/cri.sock", "--metrics-endpoint=127.0.0.1:8080", name),
            user=0,
            mounts={"/run/cri.sock": containerd.socket},
            network_of=aggregator,
        )
        user = aggregator.status["Uid"].split()[0]
        aggregator.signal(signal.SIGTERM)
        ended = aggregator.end()
    with Container(image, "aggregate", "--data-dir=/data", mounts={"/data": data}) as again:
        again.wait_until(lambda: again.curl("http://127.0.0.1:8080/healthz")[0] == 200, "/healthz")
        kept = json.loads(again.curl("http://127.0.0.1:8080/metrics")[1])

    assert 0 == fetched.code, fetched.stderr
    assert (str(NOBODY), 0) == (user, ended.code), ended.stderr
    assert [name] == [result["image"] for result in kept]
    assert {NOBODY} == {path.stat().st_uid for path in data.iterdir()}
    assert before == image.state()


def keep(image: Unpacked, containerd: Containerd, *arguments: str) -> Container:
    """As in a pod: root without capabilities, the socket mounted."""
    mounts = {"/run/containerd/containerd.sock": containerd.socket}
    return Container(image, "keep", *arguments, user=0, mounts=mounts)


def test_keep_is_the_first_process_and_ends_in_order(
    image: Unpacked, containerd: Containerd, docker_registry: DockerRegistry
) -> None:
    """It opens its port after the first run, needs hardly more memory than `sleep`, and reaps whatever is orphaned.

    Memory of its own: the rest are pages of the image's files, which all its processes on the node share.
    """
    docker_registry.push("image/keep:1", make_image(seed="kept in the image"))
    before = image.state()
    with Container(image, "sleep") as other:
        other.wait_until(lambda: "Sleeping..." in other.stderr, "Sleeping...")
        least = anonymous(other)

    arguments = ("--check-every=1s", "--ready-address=:28460", f"{docker_registry.address}/image/keep:1")
    with keep(image, containerd, *arguments) as container:
        container.wait_until(lambda: accepts(container, 28460), "the port")
        assert anonymous(container) <= least + MEBIBYTE
        container.execute("/usr/local/bin/python3.11", "-ISc", "import os, time; os.fork() or time.sleep(0.2)")
        container.wait_until(lambda: "Z" not in states_of_children(container), "the end of the orphan")
        status = container.status
        container.signal(signal.SIGTERM)
        ended = container.end()

    assert "1" == status["NSpid"].split()[-1]
    assert "0000000000000000" == status["CapEff"]
    assert 128 + signal.SIGTERM == ended.code
    assert before == image.state()


def test_keep_ends_a_pull_in_order(image: Unpacked, containerd: Containerd, fake_registry: FakeRegistry) -> None:
    fake_registry.add("image/stalled:1", make_image(seed="stalled in the image"))
    fake_registry.fail("layer", Fault.stall(), image="image/stalled:1", forever=True)

    with keep(image, containerd, f"{fake_registry.address}/image/stalled:1") as container:
        container.wait_until(lambda: "msg=pulling" in container.stderr, "a pull")
        container.signal(signal.SIGTERM)
        ended = container.end()

    assert 128 + signal.SIGTERM == ended.code
    assert "cancelled by SIGTERM" in ended.stderr
    assert 'msg="run stopped"' in ended.stderr


def test_keep_refuses_a_broken_list_at_its_start(image: Unpacked, containerd: Containerd, tmp_path: Path) -> None:
    (tmp_path / "images.txt").write_text("{{ .Values.image }}\n")

    mounts = {"/run/containerd/containerd.sock": containerd.socket, "/data": tmp_path}
    ended = run_container(image, "keep", "--image-list-file=/data/images.txt", user=0, mounts=mounts)

    assert 2 == ended.code
    assert "/data/images.txt:1: " in ended.stderr


def anonymous(container: Container) -> int:
    """Bytes of its first process that no file has."""
    return int(container.status["RssAnon"].split()[0]) * 1024


def accepts(container: Container, port: int) -> bool:
    """Whether a connection is accepted on loopback in its network."""
    connect = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
    command = ["nsenter", f"--net=/proc/{container.pid}/ns/net", "bash", "-c", connect]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def states_of_children(container: Container) -> list[str]:
    """`Z` for one that has ended and was not reaped."""
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    return [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] for child in children]
