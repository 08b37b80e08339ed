"""Keeps unpacked files in the user's cache, where nobody else can put or change any."""

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

UNUSED_FOR = 30 * 86400
"""Seconds after which the files of a version that nobody starts are removed, when another one is unpacked."""

_LOOKED_AT_EVERY = 86400
"""Seconds. A directory's time says when it was last used, with this accuracy."""


class UnusableCacheError(Exception):
    """The cache cannot be written, or others could change what is in it; the text says where and why."""


def cache_of_user(environment: Mapping[str, str]) -> Path:
    """The directory for unpacked files: in `$XDG_CACHE_HOME`, otherwise where the platform has caches of the user.

    Raises:
        UnusableCacheError: the user has no home.
    """
    given = Path(environment.get("XDG_CACHE_HOME", ""))
    caches = given if given.is_absolute() else _usual_caches()
    return caches / "nodeprefetch" / "kubectl-plugin"


def find_unpacked(cache: Path, name: str, unpack: Callable[[Path], None]) -> Path:
    """Return the directory of this name in the cache; if it does not exist, unpack it.

    It appears at once and whole. Of several processes that unpack at the same time, one puts its directory there.

    Args:
        cache: created if it does not exist.
        name: changes whenever what is unpacked changes.
        unpack: writes all files into an empty directory. May raise OSError.

    Raises:
        UnusableCacheError: the cache cannot be used.
    """
    place = cache / name
    try:
        check_that_only_the_user_writes(place)
        if not place.is_dir():
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_that_only_the_user_writes(place)
            _unpack_at_once(place, unpack)
            _remove_unused(cache, place)
    except OSError as error:
        raise UnusableCacheError(f"cannot use the cache {cache}: {error.strerror or error}") from None
    with suppress(OSError):  # others may have written it, to be read only
        if place.stat().st_mtime < time.time() - _LOOKED_AT_EVERY:
            os.utime(place)
    return place


def check_that_only_the_user_writes(path: Path) -> None:
    """Check that only this user and root can change a path, at any of its directories that exist.

    A directory that a group can write is accepted if the group is the user's private one, which has the same number,
    and one that everybody can write if it is sticky: nobody can replace what others have in it.

    Raises:
        UnusableCacheError: others can.
        OSError: it cannot be looked at.
    """
    resolved = path.resolve()
    for each in (resolved, *resolved.parents):
        try:
            status = each.stat()
        except FileNotFoundError:
            continue
        if status.st_uid not in {0, os.geteuid()}:
            raise UnusableCacheError(f"cannot use the cache {path.parent}: {each} belongs to another user")
        others = stat.S_IWOTH | (0 if status.st_gid == status.st_uid else stat.S_IWGRP)
        if status.st_mode & others and not status.st_mode & stat.S_ISVTX:
            raise UnusableCacheError(f"cannot use the cache {path.parent}: others can write to {each}")


def _usual_caches() -> Path:
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UnusableCacheError(f"cannot find a cache: {error}") from None
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


def _unpack_at_once(place: Path, unpack: Callable[[Path], None]) -> None:
    work = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=place.parent))
    try:
        unpack(work)
        try:
            work.rename(place)
        except OSError:
            if not place.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_unused(cache: Path, place: Path) -> None:
    """Remove what was not used for long, also what interrupted processes have left."""
    for each in cache.iterdir():
        with suppress(OSError):  # another process may be doing the same
            if each != place and each.stat().st_mtime < time.time() - UNUSED_FOR:
                gone = each.rename(each.with_name(f".removing-{each.name.lstrip('.')}"))  # never half a directory
                shutil.rmtree(gone, ignore_errors=True)
