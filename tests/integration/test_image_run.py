"""The image in containers: a read-only root, no capabilities, no network, by a user without rights."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from nodeprefetch import __version__
from nodeprefetch.testing.images import make_image
from tests.integration.image import NOBODY, Container, Unpacked, archive, run_container, unpack
from tests.integration.node import image_ids
from tests.integration.program import command
from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry

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
