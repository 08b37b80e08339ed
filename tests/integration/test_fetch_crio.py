"""`fetch` on CRI-O, of which there is a fake: real files in a directory, seen by the real program."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Ended, RunFetch, StartFetch
from tests.support.cri_server import FROM_REGISTRY, CrioDownloads, FakeCriServer
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="download directories belong to root")

KB = 1000
LIMIT = "2s"
FAST = 10_000 * KB

Crio = Callable[..., FakeCriServer]


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """As /var/tmp: everybody may write there."""
    directory = tmp_path / "var-tmp"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


@pytest.fixture
def crio(short_path: Path, downloads: Path) -> Iterator[Crio]:
    """Starts CRI-O: `crio(unpack=5)`."""
    running: list[FakeCriServer] = []

    def start(unpack: float = 0) -> FakeCriServer:
        server = FakeCriServer(
            short_path / "crio.sock",
            otherwise=FROM_REGISTRY,
            name="cri-o",
            version="1.37.0",
            downloads=CrioDownloads(parent=downloads, unpack=unpack),
        )
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def fetch(run_fetch: RunFetch, short_path: Path, downloads: Path) -> RunFetch:
    """Runs it with a first limit of two seconds."""

    def run_it(*images: str, **options: object) -> Ended:
        seen = {"crio_download_dir": downloads, "cri_socket": short_path / "crio.sock"}
        quick = {"initial_pull_attempt_timeout": LIMIT, "max_pull_attempt_timeout": LIMIT, "progress_interval": "1ms"}
        return run_fetch(None, *images, **{**seen, **quick, "overall_timeout": "2m", **options})

    return run_it


def add(registry: FakeRegistry, name: str, *sizes: int) -> str:
    return registry.add(name, make_image(sizes, seed=name))


def attempts(ended: Ended, image: str) -> int:
    return int(ended.result(image)["attempts"])


def reasons(ended: Ended, image: str) -> list[str]:
    return [line["reason"] for line in ended.lines("attempt failed", image=image)]


def test_a_slow_pull_that_moves_is_not_cut_and_its_bytes_are_shown(crio, fetch, fake_registry) -> None:
    """Some six seconds, three times the limit."""
    crio()
    image = add(fake_registry, "team/app:1", 300 * KB)
    fake_registry.fail("layer", Fault.slow(50 * KB), forever=True)

    ended = fetch(image)

    assert (0, 1) == (ended.code, attempts(ended, image))
    sizes = [line["done"] for line in ended.lines("downloading", image=image)]
    assert sizes == sorted(sizes)
    assert 3 <= len(sizes)
    assert 100 * KB < sizes[-1] < 310 * KB  # with the headers of tar and the config, if the last look came after all
    assert all("total" not in line for line in ended.lines("downloading"))


def test_a_stalled_pull_is_cut_and_the_next_attempt_brings_the_image(crio, fetch, fake_registry) -> None:
    server = crio()
    image = add(fake_registry, "team/app:1", 300 * KB)
    fake_registry.fail("layer", Fault.stall_after(100 * KB))

    ended = fetch(image)

    assert (0, 2) == (ended.code, attempts(ended, image))
    assert ["stalled"] == reasons(ended, image)
    assert re.fullmatch(r"stalled at 9\d\.\d KiB for 2s", ended.lines("attempt failed")[0]["error"])
    assert [True, False] == [pull.was_cancelled for pull in server.pulls]


def test_one_of_two_stalls_while_somebody_else_pulls(crio, fetch, fake_registry, downloads) -> None:
    """Neither the moving one nor the kubelet's keeps the stalled one alive, and it takes none of them along."""
    crio()
    stalled, moving = add(fake_registry, "team/stalled:1", 300 * KB), add(fake_registry, "team/moving:1", 500 * KB)
    fake_registry.fail("layer", Fault.stall_after(100 * KB), image="team/stalled:1")
    fake_registry.fail("layer", Fault.slow(50 * KB), image="team/moving:1", forever=True)
    over = threading.Event()
    foreign = threading.Thread(target=grow, args=(downloads / "container_images_storage7", over))
    foreign.start()

    try:
        ended = fetch(stalled, moving)
    finally:
        over.set()
        foreign.join()

    assert (0, 1) == (ended.code, attempts(ended, moving))
    assert ["stalled"] == reasons(ended, stalled)


def grow(directory: Path, over: threading.Event) -> None:
    """The kubelet pulls, until it is over."""
    directory.mkdir(mode=0o700)
    with (directory / "1").open("wb", buffering=0) as file:
        for _ in range(int(PATIENCE / 0.1)):
            file.write(b"x")
            if over.wait(0.1):
                return


def test_unpacking_is_not_cut(crio, fetch, fake_registry) -> None:
    """Five seconds in which nothing grows, with a limit of two."""
    crio(unpack=5)
    image = add(fake_registry, "team/app:1", 300 * KB)

    ended = fetch(image)

    assert (0, 1) == (ended.code, attempts(ended, image))
    assert ended.lines("unpacking", image=image)


def test_a_directory_of_another_user_is_not_believed(crio, fetch, fake_registry, downloads) -> None:
    """It grows all the time, and appears with the pull."""
    server = crio()
    image = add(fake_registry, "team/app:1", 300 * KB)
    fake_registry.fail("layer", Fault.stall_after(100 * KB))
    over = threading.Event()

    def pretend() -> None:
        server.wait_until(lambda pulls: len(pulls) > 0)
        directory = downloads / "container_images_storage9"
        directory.mkdir()
        os.chown(directory, 65534, 65534)
        with (directory / "1").open("wb", buffering=0) as file:
            while not over.wait(0.1):
                file.write(b"x" * KB * KB)

    thread = threading.Thread(target=pretend)
    thread.start()
    try:
        ended = fetch(image)
    finally:
        over.set()
        thread.join()

    assert ["stalled"] == reasons(ended, image)
    assert max(line["done"] for line in ended.lines("downloading", image=image)) < 400 * KB


def test_crio_restarts_in_mid_pull(crio, start_fetch: StartFetch, fake_registry, downloads, short_path: Path) -> None:
    """What it leaves behind confuses nobody."""
    server = crio()
    image = add(fake_registry, "team/app:1", 300 * KB)
    fake_registry.fail("layer", Fault.slow(50 * KB), forever=True)
    program = start_fetch(
        None,
        image,
        crio_download_dir=downloads,
        cri_socket=short_path / "crio.sock",
        initial_pull_attempt_timeout=LIMIT,
        progress_interval="1ms",
    )
    program.wait_until(lambda log: any(line.get("done", 0) > KB for line in log), "bytes")
    server.kill()
    server.start()
    ended = program.end()

    assert 0 == ended.code
    assert ["runtime_gone"] == reasons(ended, image)
    assert 1 == len([*downloads.iterdir()])


def test_without_the_directory_elapsed_time_counts_and_a_line_says_what_to_mount(crio, fetch, fake_registry) -> None:
    crio()
    image = add(fake_registry, "team/app:1", 300 * KB)
    fake_registry.fail("layer", Fault.slow(50 * KB), Fault.none())

    ended = fetch(image, crio_download_dir=None)

    assert (0, ["timeout"]) == (ended.code, reasons(ended, image))
    (line,) = (line["msg"] for line in ended.log if "not visible" in line["msg"])
    assert "mount the node's /var/tmp read-only at /run/nodeprefetch/crio-downloads" in line


def test_and_the_first_attempt_has_five_minutes_by_default(crio, fetch, fake_registry) -> None:
    crio()
    image = add(fake_registry, "team/app:1", KB)
    limits = {"initial_pull_attempt_timeout": None, "max_pull_attempt_timeout": None}

    seen, unseen = fetch(image, **limits), fetch(image, crio_download_dir=None, pull_policy="Always", **limits)

    assert [30, 300] == [ended.lines("pulling")[0]["limit"] for ended in (seen, unseen)]


def test_a_directory_that_is_not_there_is_an_error_of_usage(crio, fetch, fake_registry, tmp_path) -> None:
    crio()

    ended = fetch(add(fake_registry, "team/app:1", KB), crio_download_dir=tmp_path / "missing")

    assert 2 == ended.code
    assert "--crio-download-dir: directory not found: " in ended.stderr
