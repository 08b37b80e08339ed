"""Looks at download directories in a place where everybody may write: real files, as CRI-O and its neighbors make."""

import os
import socket
from pathlib import Path

import pytest

from nodeprefetch.runtime import download_dirs
from nodeprefetch.runtime.download_dirs import Blob, Blobs, DownloadDirectories
from nodeprefetch.runtime.errors import RuntimeFaultError

NAME = "container_images_storage1234567890"


@pytest.fixture
def directories(tmp_path: Path) -> DownloadDirectories:
    return DownloadDirectories(str(tmp_path), owner=os.getuid())


def made(parent: Path, name: str = NAME, mode: int = 0o700, **sizes: int) -> Path:
    directory = parent / name
    directory.mkdir(mode=mode)
    directory.chmod(mode)
    for number, size in sizes.items():
        (directory / number.removeprefix("_")).write_bytes(b"x" * size)
    return directory


def found(directories: DownloadDirectories) -> dict[str, Blobs]:
    """Without inodes."""
    return {name.partition(":")[0]: blobs for name, blobs in directories.look_now().directories.items()}


def test_the_files_of_a_directory_and_their_sizes_are_seen(directories, tmp_path):
    made(tmp_path, _1=450_000, _2=7)

    assert {NAME: {"1": Blob(size=450_000), "2": Blob(size=7)}} == found(directories)


def test_a_file_that_was_read_after_it_was_written_is_being_unpacked(directories, tmp_path):
    directory = made(tmp_path, _1=5, _2=5)
    written = (directory / "1").stat().st_mtime_ns
    os.utime(directory / "1", ns=(written + 1_000_000, written))

    assert {"1": True, "2": False} == {name: blob.is_read for name, blob in found(directories)[NAME].items()}


def test_the_kernel_marks_a_file_that_is_read(directories, tmp_path):
    """What CRI-O's unpacking does to it. A read within the tick of the last write does not show."""
    if os.statvfs(tmp_path).f_flag & os.ST_NOATIME:
        pytest.skip("this file system does not record reads")
    directory = made(tmp_path, _1=5)
    long_ago = (directory / "1").stat().st_mtime_ns - 10**9
    os.utime(directory / "1", ns=(long_ago, long_ago))
    before = found(directories)[NAME]["1"]
    (directory / "1").read_bytes()

    assert [False, True] == [before.is_read, found(directories)[NAME]["1"].is_read]


@pytest.mark.parametrize(
    "name",
    ["container_images_storage", "container_images_storage12x", "container_images_storageX", "container_images_dir1",
     "systemd-private-1", "storage123", "container_images_storage1\n"],
)  # fmt: skip
def test_other_names_do_not_count(directories, tmp_path, name):
    made(tmp_path, name, _1=5)

    assert {} == found(directories)


def test_a_directory_of_another_user_does_not_count(tmp_path):
    made(tmp_path, _1=5)

    assert {} == found(DownloadDirectories(str(tmp_path), owner=os.getuid() + 1))


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_does_not_count(directories, tmp_path, mode):
    made(tmp_path, mode=mode, _1=5)

    assert {} == found(directories)


def test_no_link_is_followed(directories, tmp_path):
    """Neither to a directory, nor from one of a directory's files."""
    elsewhere = made(tmp_path, "elsewhere", _1=5)
    (tmp_path / NAME).symlink_to(elsewhere)
    directory = made(tmp_path, "container_images_storage2", _1=5)
    (directory / "2").symlink_to(elsewhere / "1")

    assert {"container_images_storage2": {"1": Blob(size=5)}} == found(directories)


def test_only_files_with_a_number_count(directories, tmp_path):
    directory = made(tmp_path, _1=5, notes=5)
    (directory / "2").mkdir()
    os.mkfifo(directory / "3")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()  # noqa: PTH109 - the path of a socket is short
        os.chdir(directory)
        listening.bind("4")
        os.chdir(here)

    assert {NAME: {"1": Blob(size=5)}} == found(directories)


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_what_only_has_the_name_of_a_directory_does_not_count(directories, tmp_path, kind):
    if kind == "file":
        (tmp_path / NAME).write_bytes(b"x")
    else:
        os.mkfifo(tmp_path / NAME)

    assert {} == found(directories)


def test_a_directory_that_vanishes_meanwhile_is_as_if_it_had_not_been_there(directories, tmp_path, monkeypatch):
    made(tmp_path, _1=5)
    made(tmp_path, "container_images_storage2", _1=5)
    opened = os.open

    def open_late(name, *arguments, **options):
        if name == NAME:
            (tmp_path / NAME / "1").unlink()
            (tmp_path / NAME).rmdir()
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", open_late)

    assert ["container_images_storage2"] == [*found(directories)]
    assert "" == directories.look_now().problem


def test_a_directory_replaced_by_one_of_another_user_between_two_steps_does_not_count(
    directories, tmp_path, monkeypatch
):
    directory = made(tmp_path, _1=5)
    opened = os.open

    def open_late(name, *arguments, **options):
        if name == NAME:
            directory.chmod(0o777)
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", open_late)

    assert {} == found(directories)


def test_a_name_that_is_used_again_is_another_directory(directories, tmp_path):
    first = made(tmp_path, _1=5)
    before = directories.look_now().directories
    first.rename(tmp_path / "kept")  # so that its inode is not used again
    made(tmp_path, _1=5)

    assert before.keys().isdisjoint(directories.look_now().directories)


def test_a_directory_that_cannot_be_read_is_reported(directories, tmp_path, monkeypatch):
    made(tmp_path, _1=5)
    opened = os.open

    def refuse(name, *arguments, **options):
        if name == NAME:
            raise PermissionError(13, "Permission denied")
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    seen = directories.look_now()

    assert ({}, f"{NAME}: Permission denied") == (seen.directories, seen.problem)


async def test_a_look_at_a_directory_that_is_not_there_fails(tmp_path):
    with pytest.raises(RuntimeFaultError, match=r"cannot look at the downloads of CRI-O: .*No such file or directory"):
        await DownloadDirectories(str(tmp_path / "missing")).look()


@pytest.mark.parametrize(
    ("limit", "problem"),
    [("MOST_ENTRIES", "more than 2 entries"), ("MOST_DIRECTORIES", "more than 2 download directories")],
)
async def test_the_work_of_a_look_is_bounded(directories, tmp_path, monkeypatch, limit, problem):
    monkeypatch.setattr(download_dirs, limit, 2)
    for number in range(3):
        made(tmp_path, f"container_images_storage{number}")

    with pytest.raises(RuntimeFaultError, match=problem):
        await directories.look()


def test_directories_of_others_do_not_use_up_the_bound(directories, tmp_path, monkeypatch):
    """Whoever may write there can make any number of them."""
    monkeypatch.setattr(download_dirs, "MOST_DIRECTORIES", 1)
    for number in range(3):
        made(tmp_path, f"container_images_storage{number}", mode=0o777)
    made(tmp_path, _1=5)

    assert [NAME] == [*found(directories)]


def test_more_files_than_an_image_has_are_not_all_looked_at(directories, tmp_path, monkeypatch):
    monkeypatch.setattr(download_dirs, "MOST_BLOBS", 2)
    made(tmp_path, _1=1, _2=1, _3=1)

    assert 2 == len(found(directories)[NAME])


def test_whether_reads_are_recorded_is_told(directories, tmp_path, monkeypatch):
    status = os.statvfs(tmp_path)
    flags = []
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result([*status[:8], flags[0], status[9], status.f_fsid]))
    told = []
    for one in (os.ST_RELATIME, os.ST_NOATIME):
        flags[:] = [one]
        told.append(directories.look_now().records_reads)

    assert [True, False] == told
