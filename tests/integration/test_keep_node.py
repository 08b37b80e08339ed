"""What happens to the node under `keep`: its clock is set back, its disk is full."""

from contextlib import suppress
from pathlib import Path

import pytest

from nodeprefetch.testing.registry import FakeRegistry
from tests.conftest import CONTAINERDS
from tests.integration.keeping import Keep, children, finished, remove, serve, wait_for_images
from tests.support.containerd import Containerd
from tests.support.daemons import containerd2_program, why_no_containerd, why_no_containerd2
from tests.support.patience import eventually
from tests.support.tmpfs import mounted_tmpfs

pytestmark = pytest.mark.containerd

MB = 1_000_000

CLOCK = """
import os, time
_now, _file = time.time, {file!r}
time.time = lambda: _now() - 3600 * os.path.exists(_file)
"""
"""Python runs this first. Once the file is there, its clock is an hour behind, and files are from the future."""


@pytest.mark.parametrize("containerd", CONTAINERDS, indirect=True)
def test_setting_the_clock_back_by_an_hour_changes_nothing(
    containerd: Containerd, fake_registry: FakeRegistry, keep: Keep, tmp_path: Path
) -> None:
    """Of `keep` and all its runs, of which none would come for an hour. The runtime has the right time."""
    lost, lost_image = serve(fake_registry, containerd, "clock/lost:1")
    listed, listed_image = serve(fake_registry, containerd, "clock/listed:1")
    set_back, file = tmp_path / "set-back", tmp_path / "images.txt"
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(file=str(set_back)))
    file.write_text(f"{lost}\n")
    how = {"environment": {"PYTHONPATH": str(tmp_path)}}
    running = keep(containerd, image_list_file=file, check_every="3s", how=how)
    before = running.wait_until(finished(1), "the first run")[-1]["time"]

    assert eventually(lambda: not children(running.pid))  # the end of a run would begin the next wait
    set_back.touch()
    remove(containerd, lost)
    wait_for_images(containerd, {lost: lost_image})
    file.write_text(f"{lost}\n{listed}\n")

    wait_for_images(containerd, {lost: lost_image, listed: listed_image})
    after = running.wait_until(finished(3), "the run after the edit")[-1]["time"]
    assert after < before


@pytest.mark.parametrize("which", CONTAINERDS)
def test_a_disk_that_was_full_is_filled_with_images_once_there_is_room(
    which: str, short_path: Path, fake_registry: FakeRegistry, keep: Keep
) -> None:
    """No byte is left, also for containerd's own database."""
    if reason := (why_no_containerd() or (why_no_containerd2() if which == "containerd2" else None)):
        pytest.skip(reason)
    binary = containerd2_program() if which == "containerd2" else None
    with (
        mounted_tmpfs(short_path / "root", size=100 * MB) as root,
        Containerd(short_path / "daemon", root=root, binary=binary) as containerd,
    ):
        lost, lost_image = serve(fake_registry, containerd, "full/lost:1", 5 * MB)
        running = keep(containerd, lost, overall_timeout="5s")
        running.wait_until(finished(1), "the first run")
        fake_registry.stop()  # so that it does not come back before the disk is full
        remove(containerd, lost)
        fill(root / "filler")
        fake_registry.start()
        running.wait_for("image failed", image=lost, reason="no_space")
        running.wait_for("run failed, retrying", error="exit code 1")

        (root / "filler").unlink()

        wait_for_images(containerd, {lost: lost_image})


def fill(file: Path) -> None:
    """To the last byte."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(MB))
