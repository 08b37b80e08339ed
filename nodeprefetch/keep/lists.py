"""The image lists of `keep`: notices that they change, and remembers the last good ones.

A mounted ConfigMap is a directory of links through `..data`, which the kubelet replaces: the file behind a path becomes
another one. Plain files are replaced or written. Both show in stat(), so nothing is read until that changes.
"""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False  # typing is large
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_BYTES = 1 << 20
"""Of a list, as `nodeprefetch.values.image_list` has it. One byte more is passed on, for the run to refuse it."""

_SETTLED = 2.0
"""Seconds after a change in which the next one may leave the same times on the file: then it is read again."""

_NOEXEC_SEAL = 8
"""MFD_NOEXEC_SEAL, since Linux 6.3. Where the sysctl `vm.memfd_noexec` is 2, files without it are refused."""

SAME, CHANGED, LOST, FOUND = "same", "changed", "lost", "found"


def memory_file(name: str) -> int:
    """Create an unnamed file in memory, which child processes inherit. Returns its descriptor.

    Raises:
        OSError: there is no memory.
    """
    try:
        return os.memfd_create(name, _NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of older kernels
            raise
    return os.memfd_create(name, 0)


class Snapshot:
    """The contents of all lists at one moment, in an unnamed file in memory, which child processes inherit.

    Args:
        descriptor: of that file.
        sizes: bytes of each list in it, in order.
    """

    __slots__ = ("descriptor", "sizes")

    def __init__(self, descriptor: int, sizes: Sequence[int]) -> None:
        self.descriptor = descriptor
        self.sizes = tuple(sizes)

    @classmethod
    def of(cls, contents: Sequence[bytes]) -> Snapshot:
        """Take one."""
        snapshot = cls(memory_file("image-lists"), [len(content) for content in contents])
        for content in contents:
            left = memoryview(content)
            while left:
                left = left[os.write(snapshot.descriptor, left) :]
        return snapshot

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """The inverse of `str`.

        Raises:
            ValueError: it is none.
        """
        descriptor, _, sizes = text.partition(":")
        return cls(int(descriptor), [int(size) for size in sizes.split(",") if size])

    def __str__(self) -> str:
        return f"{self.descriptor}:{','.join(map(str, self.sizes))}"

    def contents(self) -> list[bytes]:
        """Read all lists."""
        contents, offset = [], 0
        for size in self.sizes:
            content = b""
            while len(content) < size:
                content += os.pread(self.descriptor, size - len(content), offset + len(content))
            contents.append(content)
            offset += size
        return contents

    def close(self) -> None:
        """Let the file go. Child processes have their own."""
        os.close(self.descriptor)


class Lists:
    """The lists, and which of their contents runs are given.

    Args:
        paths: of the lists; empty for one that cannot change, such as standard input.
        snapshot: good contents of all.
        clock: Unix seconds, to compare with the times of files.
    """

    __slots__ = ("_clock", "_good", "_newest", "_paths", "_refused", "_seen", "given", "problem")

    def __init__(self, paths: Sequence[str], snapshot: Snapshot, *, clock: Callable[[], float] = time.time) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        self._good = self._newest = snapshot
        self.given = snapshot
        """What the last run was given."""

        self._refused = False
        """Whether the newest is broken."""

        self._seen: list[tuple[int, ...]] = [()] * len(self._paths)
        self.problem = ""
        """Why a list cannot be read; empty: all can."""

    @property
    def can_change(self) -> bool:
        """Whether there is anything to look at."""
        return any(self._paths)

    @property
    def is_given_on_trial(self) -> bool:
        """Whether nobody has found the contents that the last run was given to be good yet."""
        return self.given is not self._good

    @property
    def are_rejected(self) -> bool:
        """Whether the newest lists are broken, as far as is known, or cannot be read."""
        return self._refused or bool(self.problem)

    @property
    def are_in_force(self) -> bool:
        """Whether a run has found the newest contents to be good, and they can still be read."""
        return self._good is self._newest and not self.problem

    def look(self) -> str:
        """Look whether a list has changed. Returns `SAME`, `CHANGED`, or that one is `LOST`, or all `FOUND` again."""
        try:
            changed = self._read_changed()
        except OSError as error:
            self._seen = [()] * len(self._paths)
            was, self.problem = self.problem, f"{error.filename}: {error.strerror}"
            return SAME if self.problem == was else LOST
        was, self.problem = self.problem, ""
        if not changed:
            return FOUND if was else SAME
        contents = self._newest.contents()
        for number, content in changed.items():
            contents[number] = content
        if contents == self._newest.contents():
            return FOUND if was else SAME
        self._replace_newest(Snapshot.of(contents))
        return CHANGED

    def give(self) -> Snapshot:
        """What the next run is to use: the newest contents, or the last good ones if those are broken."""
        before, self.given = self.given, self._good if self._refused else self._newest
        self._drop(before)
        return self.given

    def accept(self) -> None:
        """The last run found its lists to be good."""
        before, self._good = self._good, self.given
        self._drop(before)

    def refuse(self) -> None:
        """The last run found its lists to be broken. They are tried again when they change."""
        self._refused = self._refused or self.given is self._newest

    def retry(self) -> bool:
        """Have the next run try the newest lists again, if they are broken. Returns whether they are."""
        was, self._refused = self._refused, False
        return was

    def _read_changed(self) -> dict[int, bytes]:
        changed = {}
        for number, path in enumerate(self._paths):
            if not path:
                continue
            seen = _traces(path)
            if seen != self._seen[number]:
                changed[number] = _read(path)
                is_settled = self._clock() * 1e9 - max(seen[-2:]) > _SETTLED * 1e9
                self._seen[number] = seen if is_settled else ()
        return changed

    def _replace_newest(self, snapshot: Snapshot) -> None:
        before, self._newest, self._refused = self._newest, snapshot, False
        self._drop(before)

    def _drop(self, snapshot: Snapshot) -> None:
        if snapshot not in (self._good, self._newest, self.given):
            snapshot.close()


def _traces(path: str) -> tuple[int, ...]:
    """What a change of a file changes; the last two are times in nanoseconds."""
    found = os.stat(path)  # noqa: PTH116 - pathlib is large
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: str) -> bytes:
    """Read a list.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        content = b""
        while len(content) <= MAX_BYTES and (part := os.read(descriptor, MAX_BYTES + 1 - len(content))):
            content += part
    except OSError as error:  # of a directory, without its name
        error.filename = path
        raise
    finally:
        os.close(descriptor)
    return content
