"""Where the kubectl plugin of one file unpacks itself: nobody else can put or change files there."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubectlplugin.boot.cache import (
    UNUSED_FOR,
    UnusableCacheError,
    cache_of_user,
    check_that_only_the_user_writes,
    find_unpacked,
)

NAME = "1.2.3-0123456789abcdef-cpython-311-x86_64-linux-gnu"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """With usual permissions, whatever the umask of the tests."""
    before = os.umask(0o022)
    (tmp_path / "home").mkdir()
    yield tmp_path / "home"
    os.umask(before)


@pytest.fixture
def cache(home: Path) -> Path:
    return home / ".cache" / "nodeprefetch" / "kubectl-plugin"


def unpacking(count: list[Path]) -> Callable[[Path], None]:
    def unpack(place: Path) -> None:
        count.append(place)
        (place / "module.py").write_text("")

    return unpack


def test_only_the_first_start_unpacks(cache: Path) -> None:
    count: list[Path] = []

    first, second = (find_unpacked(cache, NAME, unpacking(count)) for _ in range(2))

    assert cache / NAME == first == second
    assert 1 == len(count)
    assert [cache / NAME] == list(cache.iterdir())
    assert 0o700 == cache.stat().st_mode & 0o777 == first.stat().st_mode & 0o777


def test_versions_are_beside_each_other(cache: Path) -> None:
    count: list[Path] = []

    places = {find_unpacked(cache, name, unpacking(count)) for name in (NAME, f"x{NAME}", NAME)}

    assert places == set(cache.iterdir())
    assert 2 == len(count)


def test_of_two_that_unpack_at_once_both_find_a_whole_directory(cache: Path) -> None:
    """Each waits in the middle of unpacking until the other one is there too."""
    both = threading.Barrier(2)
    found: list[Path] = []

    def unpack(place: Path) -> None:
        both.wait()
        (place / "module.py").write_text("")

    threads = [threading.Thread(target=lambda: found.append(find_unpacked(cache, NAME, unpack))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [cache / NAME] * 2 == found
    assert [cache / NAME] == list(cache.iterdir())
    assert (cache / NAME / "module.py").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_an_interrupted_start_leaves_nothing(cache: Path, error: BaseException) -> None:
    def unpack(place: Path) -> None:
        (place / "module.py").write_text("")
        raise error

    with pytest.raises((UnusableCacheError, KeyboardInterrupt)):
        find_unpacked(cache, NAME, unpack)

    assert [] == list(cache.iterdir())


def test_what_nobody_has_used_for_a_month_is_removed_when_another_version_is_unpacked(cache: Path) -> None:
    now = time.time()
    ages = {"old": UNUSED_FOR + 60, ".unpacking-old": UNUSED_FOR + 60, "recent": UNUSED_FOR - 3600}
    for name, age in ages.items():
        find_unpacked(cache, name, unpacking([]))
        os.utime(cache / name, (now - age, now - age))

    find_unpacked(cache, NAME, unpacking([]))

    assert {"recent", NAME} == {each.name for each in cache.iterdir()}


def test_each_day_of_use_counts(cache: Path) -> None:
    find_unpacked(cache, NAME, unpacking([]))
    os.utime(cache / NAME, (0, 0))

    find_unpacked(cache, NAME, unpacking([]))
    find_unpacked(cache, "other", unpacking([]))

    assert {"other", NAME} == {each.name for each in cache.iterdir()}


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o707])
@pytest.mark.parametrize("which", ["", ".cache", ".cache/nodeprefetch/kubectl-plugin"])
def test_a_directory_that_others_can_write_is_not_used(home: Path, cache: Path, which: str, mode: int) -> None:
    """Neither where it would be created, nor where it exists. A group that is not the user's own can be anybody."""
    find_unpacked(cache, NAME, unpacking([]))
    open_to_others = home / which
    open_to_others.chmod(mode)
    if mode == 0o775:
        foreign_group = next((group for group in os.getgroups() if group != os.geteuid()), None)
        if os.geteuid() == 0:
            foreign_group = 12345
        if foreign_group is None:
            pytest.skip("this user has no other group")
        os.chown(open_to_others, -1, foreign_group)

    for name in (NAME, "other"):
        with pytest.raises(UnusableCacheError, match=f"others can write to {open_to_others}$"):
            find_unpacked(cache, name, unpacking([]))


def test_a_sticky_directory_may_contain_the_cache(home: Path, cache: Path) -> None:
    """As /tmp: others can create files there, but not replace ours."""
    home.chmod(0o1777)

    assert cache / NAME == find_unpacked(cache, NAME, unpacking([]))


@as_root
@pytest.mark.parametrize("which", ["", ".cache/nodeprefetch/kubectl-plugin"])
def test_a_directory_of_another_user_is_not_used(home: Path, cache: Path, which: str) -> None:
    """Prepared by somebody; or the home of the one who became root by sudo."""
    cache.mkdir(parents=True)
    os.chown(home / which, 12345, 12345)

    with pytest.raises(UnusableCacheError, match="belongs to another user"):
        find_unpacked(cache, NAME, unpacking([]))

    assert [] == list(cache.iterdir())


@as_root
def test_nothing_is_created_in_the_home_of_another_user(home: Path, cache: Path) -> None:
    os.chown(home, 12345, 12345)

    with pytest.raises(UnusableCacheError):
        find_unpacked(cache, NAME, unpacking([]))

    assert [] == list(home.iterdir())


@as_root
def test_a_link_leads_to_a_place_that_is_checked_too(home: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir(mode=0o700)
    os.chown(tmp_path / "foreign", 12345, 12345)
    (home / ".cache").symlink_to(tmp_path / "foreign")

    with pytest.raises(UnusableCacheError, match="foreign belongs to another user"):
        check_that_only_the_user_writes(home / ".cache" / "nodeprefetch")


def test_a_cache_that_cannot_be_written_is_named_with_the_reason(home: Path) -> None:
    """Root can write everywhere, but not below a file."""
    (home / "file").write_text("")

    with pytest.raises(UnusableCacheError, match=r"cannot use the cache .*/file/x: Not a directory$"):
        find_unpacked(home / "file" / "x", NAME, unpacking([]))


def test_the_cache_is_where_the_user_has_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")

    for platform, usual in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr("sys.platform", platform)
        expected = Path("/home/somebody", usual, "nodeprefetch/kubectl-plugin")
        assert expected == cache_of_user({}) == cache_of_user({"XDG_CACHE_HOME": "relative"})
        assert Path("/caches/nodeprefetch/kubectl-plugin") == cache_of_user({"XDG_CACHE_HOME": "/caches"})
