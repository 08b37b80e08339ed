"""Finds the runtime's image file system, and measures its free space."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within

OWN_ROOT = "/"
"""Root of our own container: its writable layer is stored next to the images if the same runtime created it."""

_MOUNTS = Path("/proc/self/mountinfo")

ANSWER_TIMEOUT = 5.0
"""Seconds in which the runtime must report its image directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A file system, in bytes."""

    total: int
    free: int
    """Available to unprivileged users, as the kubelet counts."""


class NotVisibleError(Exception):
    """Raised when the image file system is not visible; the text says why."""


def space_at(path: str) -> Space:
    """Measure the file system of a directory. One system call, a few microseconds.

    Raises:
        OSError: it cannot be measured.
    """
    found = os.statvfs(path)
    return Space(total=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)


async def image_directory(service: ImageService, mounts: Path = _MOUNTS) -> str:
    """Find a directory on the image file system.

    It is the directory that the runtime reports (CRI's ImageFsInfo), if it is visible. In a pod it is not, but there
    our own root is usually a container created by the same runtime, on the same file system.

    Args:
        service: the runtime.
        mounts: the mounts of this process, as the kernel lists them.

    Raises:
        NotVisibleError: the runtime reports no directory, or one that is not visible, and our root is elsewhere.
    """
    try:
        with answered_within(ANSWER_TIMEOUT):
            found = [one.mountpoint for one in await service.image_fs_info() if one.mountpoint]
    except RuntimeFaultError as error:
        raise NotVisibleError(f"the runtime does not report its image directory ({error})") from error
    if not found:
        raise NotVisibleError("the runtime does not report its image directory")
    visible = next((path for path in found if _is_directory(path)), None)
    if visible is None and _is_root_beside(found, mounts):
        visible = OWN_ROOT
    if visible is None:
        raise NotVisibleError(f"the runtime's image directory {', '.join(found)} is not visible here")
    return visible


def root_layer(mountinfo: str) -> PurePosixPath | None:
    """Path on the host of our root's writable layer; None: the root is not an overlay.

    Args:
        mountinfo: the text of /proc/self/mountinfo, see proc_pid_mountinfo(5). An overlay's options name its layers.
    """
    layer = None
    for line in mountinfo.splitlines():
        place, _, system = line.partition(" - ")
        if place.split()[4:5] != [OWN_ROOT]:
            continue
        kind, _, options = system.partition(" ")
        upper = [one for one in options.rpartition(" ")[2].split(",") if one.startswith("upperdir=/")]
        # The last mount at a path hides the earlier ones.
        layer = PurePosixPath(upper[0].removeprefix("upperdir=")) if kind == "overlay" and upper else None
    return layer


def _is_root_beside(directories: Sequence[str], mounts: Path) -> bool:
    """Whether our root's layer is in the storage of one of these directories: in its parent directory."""
    try:
        layer = root_layer(mounts.read_text(errors="replace"))
    except OSError:
        return False
    return layer is not None and any(layer.is_relative_to(PurePosixPath(one).parent) for one in directories)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - a string from the runtime
