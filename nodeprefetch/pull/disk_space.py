"""The file system that the runtime keeps images on: where it is visible to us, and what is free there."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within

OWN_ROOT = "/"
"""The root of the container that we run in: its writable layer lies beside the images, where the runtime made it."""

_MOUNTS = Path("/proc/self/mountinfo")

MOUNTPOINT_LIMIT = 5.0
"""Seconds in which the runtime has to say where it keeps images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A file system, in bytes."""

    total: int
    free: int
    """For who has no privileges, as the kubelet counts."""


class UnseenError(Exception):
    """Raised when the file system of images is not to be seen; the text says why."""


def space_at(path: str) -> Space:
    """The file system that a directory is on. One call of the kernel, some microseconds.

    Raises:
        OSError: it cannot be looked at.
    """
    found = os.statvfs(path)
    return Space(total=found.f_blocks * found.f_frsize, free=found.f_bavail * found.f_frsize)


async def image_directory(service: ImageService, mounts: Path = _MOUNTS) -> str:
    """A directory on the file system that the runtime keeps images on.

    It is what the runtime names (CRI's ImageFsInfo) where that is visible. In a pod it is not; but then our own root
    is mostly a container that the same runtime has made, on the same file system.

    Args:
        service: the runtime.
        mounts: this process' mounts, as the kernel tells them.

    Raises:
        UnseenError: it does not say, or names a directory that is not there for us, and our root is not beside it.
    """
    try:
        with answered_within(MOUNTPOINT_LIMIT):
            found = [one.mountpoint for one in await service.image_fs_info() if one.mountpoint]
    except RuntimeFaultError as error:
        raise UnseenError(f"the runtime does not say where it keeps images ({error})") from error
    if not found:
        raise UnseenError("the runtime does not say where it keeps images")
    visible = next((path for path in found if _is_directory(path)), None)
    if visible is None and _is_root_beside(found, mounts):
        visible = OWN_ROOT
    if visible is None:
        raise UnseenError(f"the runtime keeps images at {', '.join(found)}, which is not to be seen from here")
    return visible


def root_layer(mountinfo: str) -> PurePosixPath | None:
    """Where on the host the writable layer of this process' root is; None where the root is no overlay.

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
        # The last mount at a place hides those before it.
        layer = PurePosixPath(upper[0].removeprefix("upperdir=")) if kind == "overlay" and upper else None
    return layer


def _is_root_beside(directories: Sequence[str], mounts: Path) -> bool:
    """Whether our root's layer is in the storage that one of these is in: in the directory above it."""
    try:
        layer = root_layer(mounts.read_text(errors="replace"))
    except OSError:
        return False
    return layer is not None and any(layer.is_relative_to(PurePosixPath(one).parent) for one in directories)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - a text, as the runtime gave it
