"""Looks at the directories in which CRI-O keeps what it downloads, one for each pull.

While CRI-O pulls an image, `container_images_storage<digits>` has one file for each blob, which grows as bytes arrive.
The directories are in /var/tmp (or `big_files_temporary_dir` of storage.conf), where everybody may write. So only
directories count that belong to root and that nobody else may write to. Nothing in them is read: their names, and
sizes and times of their files are enough. No link is followed, and the work of one look is bounded.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
import trio

from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError

MOST_ENTRIES = 50_000
"""Entries of the parent directory that one look lists."""

MOST_DIRECTORIES = 256
MOST_BLOBS = 1000
"""Directories, and files of each, that one look examines. An image has at most 127 layers."""

ROOT = 0
"""User ID of CRI-O."""

_DIRECTORY = re.compile(r"container_images_storage[0-9]{1,20}")
_BLOB = re.compile(r"[0-9]{1,9}")
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_GONE = (FileNotFoundError, NotADirectoryError)


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a download directory."""

    size: int
    """Bytes so far."""

    is_read: bool = False
    """It was read after it was last written to: CRI-O unpacks it, or has done so."""


Blobs = Mapping[str, Blob]
"""The files of one directory by name."""


class DirectoriesSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What one look showed."""

    directories: Mapping[str, Blobs]
    """By name and inode, as a name may be used again."""

    records_reads: bool = True
    """Whether this file system records when files are read. If not, `Blob.is_read` says nothing."""

    problem: str = ""
    """Why some directory could not be examined; empty: all could."""


class DownloadDirectories:
    """The download directories below one directory.

    Args:
        path: the directory; a link to it is followed.
        owner: user ID that must own download directories.
    """

    def __init__(self, path: str, *, owner: int = ROOT) -> None:
        self.path = path
        self._owner = owner
        self._thread = trio.CapacityLimiter(1)

    async def look(self) -> DirectoriesSeen:
        """Look once, in a thread: a disk that hangs must not stop everything. Cancelling it leaves the thread behind.

        Raises:
            RuntimeFaultError: the directory itself cannot be listed, or has too many entries.
        """
        try:
            return await trio.to_thread.run_sync(self.look_now, abandon_on_cancel=True, limiter=self._thread)
        except OSError as error:
            text = f"cannot look at the downloads of CRI-O: {error}"
            raise RuntimeFaultError(text, fault=Fault(kind=FaultClass.PERMANENT, reason="unseen")) from error

    def look_now(self) -> DirectoriesSeen:
        """Look once. Blocks, normally for less than a millisecond.

        Raises:
            OSError: the directory itself cannot be listed, or has too many entries.
        """
        directories: dict[str, Blobs] = {}
        problem = ""
        with _opened(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as parent:
            records_reads = not os.fstatvfs(parent).f_flag & os.ST_NOATIME
            for name in self._names(parent):
                try:
                    found = self._examine(parent, name)
                except _GONE:
                    continue
                except OSError as error:
                    problem = f"{name}: {error.strerror}"
                    continue
                if found is not None:
                    identity, directories[identity] = found[0], found[1]
        return DirectoriesSeen(directories=directories, records_reads=records_reads, problem=problem)

    def _names(self, parent: int) -> list[str]:
        """Names of directories that may be CRI-O's. The owner is looked at before anything is opened."""
        names = []
        with os.scandir(parent) as entries:
            for number, entry in enumerate(entries):
                if number >= MOST_ENTRIES:
                    raise OSError(f"{self.path} has more than {MOST_ENTRIES} entries")
                if _DIRECTORY.fullmatch(entry.name):
                    names.append(entry.name)
        mine = [name for name in names if self._is_trusted(_status(name, parent))]
        if len(mine) > MOST_DIRECTORIES:
            raise OSError(f"{self.path} has more than {MOST_DIRECTORIES} download directories")
        return mine

    def _examine(self, parent: int, name: str) -> tuple[str, Blobs] | None:
        with _opened(name, _OPEN_DIRECTORY, parent) as directory:
            status = os.fstat(directory)
            if not self._is_trusted(status):  # replaced since it was looked at
                return None
            blobs: dict[str, Blob] = {}
            with os.scandir(directory) as entries:
                for number, entry in enumerate(entries):
                    if number >= MOST_BLOBS:
                        break
                    found = _status(entry.name, directory) if _BLOB.fullmatch(entry.name) else None
                    if found is not None and stat.S_ISREG(found.st_mode):
                        is_read = found.st_atime_ns > found.st_mtime_ns
                        blobs[entry.name] = Blob(size=found.st_size, is_read=is_read)
        return f"{name}:{status.st_ino}", blobs

    def _is_trusted(self, status: os.stat_result | None) -> bool:
        return (
            status is not None
            and stat.S_ISDIR(status.st_mode)
            and status.st_uid == self._owner
            and not status.st_mode & _WRITABLE_BY_OTHERS
        )


def _status(name: str, directory: int) -> os.stat_result | None:
    """Status of an entry, not of what it links to; None: it is gone, or a hostile file system does not give it."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None


@contextmanager
def _opened(name: str, flags: int, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
