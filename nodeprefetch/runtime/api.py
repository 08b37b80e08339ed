"""The container runtime as this program sees it: `ImageService`, and the records it answers with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nodeprefetch.credentials.auth import AuthConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRecord:
    """An image the runtime holds (CRI's `Image`)."""

    id: str
    """The image ID: digest of the config, `sha256:…` on containerd, bare hex digits on CRI-O."""

    repo_tags: tuple[str, ...] = ()
    """Names with tag, normalised by the runtime. Empty when the tag has moved to another image."""

    repo_digests: tuple[str, ...] = ()
    """`name@sha256:…`, the digest of the manifest or index that was resolved."""

    size: int = 0
    """Bytes: compressed on containerd, uncompressed layers on CRI-O."""

    pinned: bool = False
    """The kubelet is advised not to collect it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeVersion:
    """Who serves the CRI socket."""

    name: str
    """`containerd`, `cri-o`."""

    version: str
    """`1.6.20~ds1`; may carry a suffix or a leading v."""

    api_version: str = "v1"

    @property
    def is_containerd_2(self) -> bool:
        """Containerd 2 or newer.

        It downloads three layers at a time for all pulls together, first come, first served (the transfer service's
        `max_concurrent_downloads`; before, that was of each pull).
        """
        return self.name == "containerd" and _major(self.version) >= 2  # noqa: PLR2004 - or newer


def _major(version: str) -> int:
    """2 of `2.4.2`, of `v2.0.0`, of `1:2.1`; 0 where it cannot be read."""
    digits = version.rpartition(":")[2].removeprefix("v").partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFilesystem:
    """Where the runtime keeps images (CRI's `FilesystemUsage`)."""

    mountpoint: str
    """A directory on the host, not always a mount point."""

    used_bytes: int
    """On containerd unpacked snapshots only, up to 10 s old."""

    inodes_used: int


class ImageService(Protocol):
    """The part of a container runtime that this program uses.

    Every method raises `nodeprefetch.runtime.errors.RuntimeFaultError` when the runtime answers with an error or is
    not there; how long to wait is the caller's cancel scope. Cancelling a pull stops it in the runtime.
    """

    async def version(self) -> RuntimeVersion:
        """Who is there."""
        ...

    async def list_images(self) -> Sequence[ImageRecord]:
        """All images the runtime holds."""
        ...

    async def image_status(self, image: str) -> ImageRecord | None:
        """The image of that name, digest or ID; None where the runtime does not hold it."""
        ...

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:
        """Pull and unpack; returns the image ID. The runtime asks the registry even when the image is there.

        Args:
            image: its name.
            auth: what to log in with; None: anonymous.
            lease: ID of a lease of containerd (`nodeprefetch.runtime.containerd_api`) that keeps what the pull brings,
                also when it is cut. Where there is no such lease the pull fails with the reason `lease_gone`; other
                runtimes take no notice of it.
        """
        ...

    async def remove_image(self, image: str) -> None:
        """Remove the image with all its tags and digests. An unknown image is removed already."""
        ...

    async def image_fs_info(self) -> Sequence[ImageFilesystem]:
        """Where images are kept, and what they use."""
        ...
