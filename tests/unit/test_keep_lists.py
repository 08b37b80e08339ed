"""Edits of lists are noticed, and the last good lists are remembered."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprefetch.keep import lists as keep_lists
from nodeprefetch.keep.lists import CHANGED, FOUND, LOST, SAME, Lists, Snapshot
from nodeprefetch.values.image_list import MAX_LIST_BYTES

LONG_AGO = 1_000_000_000
"""Unix seconds."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "images.txt"
    path.write_bytes(b"a:1\n")
    return path


@pytest.fixture
def lists(file: Path) -> Lists:
    """Of one file, looked at once. As the clock shows no time after the edits, nothing but stat() can hide one."""
    found = Lists([str(file)], Snapshot.of([b"a:1\n"]))
    assert SAME == found.look()
    return found


def contents(lists: Lists) -> bytes:
    """What the next run is given."""
    return b"".join(lists.give().contents())


def mount(directory: Path, name: str, content: bytes) -> None:
    """Update a ConfigMap's volume as the kubelet does: a new directory, and `..data` led to it by a rename."""
    (directory / name).mkdir()
    (directory / name / "images.txt").write_bytes(content)
    (directory / "..data_tmp").symlink_to(name)
    (directory / "..data_tmp").rename(directory / "..data")


def test_a_snapshot_says_how_to_read_it() -> None:
    snapshot = Snapshot.of([b"a:1\n", b"", b"b:1" * 100_000])

    assert [b"a:1\n", b"", b"b:1" * 100_000] == Snapshot.parse(str(snapshot)).contents()
    assert os.get_inheritable(snapshot.descriptor)


@pytest.mark.parametrize("is_old", [True, False])
def test_it_is_a_file_that_cannot_be_executed_where_the_kernel_knows_those(
    monkeypatch: pytest.MonkeyPatch, *, is_old: bool
) -> None:
    asked: list[int] = []
    create = os.memfd_create

    def answer(name: str, flags: int) -> int:
        asked.append(flags)
        if flags and is_old:
            raise OSError(errno.EINVAL, "Invalid argument")
        return create(name, 0)

    monkeypatch.setattr(os, "memfd_create", answer)
    os.close(keep_lists.memory_file("lists"))

    assert ([8, 0] if is_old else [8]) == asked


def test_no_lists_are_a_snapshot_too() -> None:
    assert [] == Snapshot.parse(str(Snapshot.of([]))).contents()


def test_the_limit_is_that_of_lists() -> None:
    assert MAX_LIST_BYTES == keep_lists.MAX_BYTES


def test_an_edit_of_a_file_is_noticed_once(lists: Lists, file: Path) -> None:
    file.write_bytes(b"b:1\n")

    assert [CHANGED, SAME] == [lists.look(), lists.look()]
    assert b"b:1\n" == contents(lists)


def test_a_touched_file_is_no_edit(lists: Lists, file: Path) -> None:
    os.utime(file, (LONG_AGO, LONG_AGO))

    assert SAME == lists.look()


def test_a_second_edit_within_the_resolution_of_times_is_noticed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look came between two edits of equal length, which left the same times."""
    changed_at, traces = file.stat().st_ctime, keep_lists._traces(str(file))
    monkeypatch.setattr(keep_lists, "_traces", lambda _: traces)
    lists = Lists([str(file)], Snapshot.of([b"a:1\n"]), clock=lambda: changed_at + 0.001)
    lists.look()
    file.write_bytes(b"b:1\n")

    assert CHANGED == lists.look()


def test_a_file_that_has_not_changed_for_a_while_is_not_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Lists([str(file)], Snapshot.of([b"a:1\n"]), clock=lambda: file.stat().st_ctime + 3)
    lists.look()
    monkeypatch.setattr(keep_lists, "_read", pytest.fail)

    assert SAME == lists.look()


def test_a_clock_that_was_set_back_hides_nothing(file: Path) -> None:
    """The file seems to be from the future, and is read at each look."""
    lists = Lists([str(file)], Snapshot.of([b"a:1\n"]), clock=lambda: file.stat().st_ctime - 3600)
    lists.look()
    file.write_bytes(b"b:1\n")

    assert CHANGED == lists.look()


def test_an_update_of_a_configmap_is_noticed(tmp_path: Path) -> None:
    mount(tmp_path, "..2026_1", b"a:1\n")
    (tmp_path / "images.txt").symlink_to("..data/images.txt")
    lists = Lists([str(tmp_path / "images.txt")], Snapshot.of([b"a:1\n"]))
    assert SAME == lists.look()
    mount(tmp_path, "..2026_2", b"b:1\n")

    assert CHANGED == lists.look()
    assert b"b:1\n" == contents(lists)


def test_only_the_edited_list_changes(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(b"c:1\n")
    lists = Lists([str(file), "", str(other)], Snapshot.of([b"a:1\n", b"fixed:1\n", b"c:1\n"]))
    other.write_bytes(b"d:1\n")

    assert CHANGED == lists.look()
    assert [b"a:1\n", b"fixed:1\n", b"d:1\n"] == lists.give().contents()


@pytest.mark.parametrize("lose", [Path.unlink, lambda file: (file.unlink(), file.mkdir())], ids=["gone", "directory"])
def test_a_lost_list_keeps_what_was_there(lists: Lists, file: Path, lose: Callable[[Path], object]) -> None:
    lose(file)

    assert [LOST, SAME] == [lists.look(), lists.look()]
    assert lists.problem.startswith(f"{file}: ")
    assert b"a:1\n" == contents(lists)


def test_a_list_that_comes_back_as_it_was_is_no_edit(lists: Lists, file: Path) -> None:
    file.unlink()
    lists.look()
    file.write_bytes(b"a:1\n")

    assert [FOUND, SAME] == [lists.look(), lists.look()]
    assert "" == lists.problem


def test_an_edit_beside_a_lost_list_is_noticed_once_that_is_back(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    lists = Lists([str(file), str(other)], Snapshot.of([b"a:1\n", b"c:1\n"]))
    file.write_bytes(b"b:1\n")
    assert LOST == lists.look()
    other.write_bytes(b"c:1\n")

    assert CHANGED == lists.look()
    assert [b"b:1\n", b"c:1\n"] == lists.give().contents()


def test_a_broken_list_is_given_once(lists: Lists, file: Path) -> None:
    file.write_bytes(b"[broken]")
    lists.look()
    assert b"[broken]" == contents(lists)
    assert lists.is_given_on_trial
    lists.refuse()

    assert b"a:1\n" == contents(lists)
    assert not lists.is_given_on_trial
    assert SAME == lists.look()


def test_a_mended_list_is_given(lists: Lists, file: Path) -> None:
    file.write_bytes(b"[broken]")
    lists.look()
    lists.give()
    lists.refuse()
    file.write_bytes(b"b:1\n")

    assert CHANGED == lists.look()
    assert b"b:1\n" == contents(lists)


def test_a_list_mended_while_the_broken_one_was_tried_is_given_next(lists: Lists, file: Path) -> None:
    file.write_bytes(b"[broken]")
    lists.look()
    lists.give()
    file.write_bytes(b"b:1\n")
    lists.look()
    lists.refuse()

    assert b"b:1\n" == contents(lists)


def test_an_accepted_list_is_the_last_good_one(lists: Lists, file: Path) -> None:
    file.write_bytes(b"b:1\n")
    lists.look()
    lists.give()
    lists.accept()
    file.write_bytes(b"[broken]")
    lists.look()
    lists.give()
    lists.refuse()

    assert b"b:1\n" == contents(lists)


def test_edits_leave_no_open_files(lists: Lists, file: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(100):
        file.write_bytes(b"[broken]" if number % 3 else b"%d:1\n" % number)
        lists.look()
        lists.give()
        (lists.refuse if number % 3 else lists.accept)()

    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_a_million_looks_leave_no_growth(lists: Lists, file: Path) -> None:
    def look(times: int) -> int:
        for _ in range(times):
            lists.look()
        return sys.getallocatedblocks()

    before = look(1000)

    assert look(1_000_000) - before < 100


def test_a_list_that_is_too_long_is_passed_on_for_the_run_to_say_so(lists: Lists, file: Path) -> None:
    file.write_bytes(b"#" * (MAX_LIST_BYTES + 1000))
    lists.look()

    assert MAX_LIST_BYTES + 1 == len(contents(lists))
