"""The container runtime as this program sees it: `ImageService`, `ContainerdApi`, and their records.

Containerd's own API is served on the same socket as CRI, in the namespace `k8s.io`. It is never required: without it,
pulls use CRI alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.values.image_ref import ImageRef


class ResourceKind(StrEnum):
    """What a lease can hold. Snapshots are those of any snapshotter."""

    CONTENT = "content"
    INGEST = "ingests"
    SNAPSHOT = "snapshots"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One thing that a lease keeps from being collected."""

    kind: ResourceKind
    id: str
    """A blob's digest, an ingest's reference, a snapshot's key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """Keeps what a pull has brought so far."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0
    """Unix seconds."""

    expires_at: float | None = None
    """Unix seconds after which the next garbage collection takes it; None: it stays until it is deleted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingest:
    """A blob on its way in."""

    ref: str
    """`layer-sha256:…`, `config-sha256:…`, `manifest-sha256:…`, `index-sha256:…`; says nothing of an image."""

    offset: int
    """Bytes written so far. Grows in steps of 1 MiB, the size of containerd's buffer, and by the rest at the end."""

    total: int
    """Bytes when it is complete; 0 when not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageName:
    """One of containerd's records of an image: a name with labels. CRI makes three for each image it pulls."""

    name: str
    """`registry/repository:tag`, `registry/repository@sha256:…`, or the image ID."""

    digest: str
    """Of the manifest or index it stands for."""

    labels: Mapping[str, str] = field(default_factory=dict)


class ContainerdApi(Protocol):
    """The part of containerd's own API that this program uses.

    Every method raises `nodeprefetch.runtime.errors.RuntimeFaultError` when containerd answers with an error that is
    not said here, or is not there; how long to wait is the caller's cancel scope.
    """

    async def create_lease(self, lease_id: str, *, expires_at: float, labels: Mapping[str, str]) -> bool:
        """Make a lease that lives until then (Unix seconds). False where one of that ID is there already."""
        ...

    async def delete_lease(self, lease_id: str) -> bool:
        """Delete it, and collect what nothing else holds, before this returns. False where there is none."""
        ...

    async def leases(self) -> Sequence[Lease]:
        """All leases in CRI's namespace, containerd's own too."""
        ...

    async def lease_resources(self, lease_id: str) -> Sequence[Resource] | None:
        """What a lease holds; None where there is no such lease."""
        ...

    async def ingests(self) -> Sequence[Ingest]:
        """All blobs on their way in."""
        ...

    async def abort_ingest(self, ref: str) -> bool:
        """Drop a blob on its way, whoever holds it. False where there is none."""
        ...

    async def blob_size(self, digest: str) -> int | None:
        """Bytes of a complete blob; None where it is not there, or not complete."""
        ...

    async def read_blob(self, digest: str, *, most: int) -> bytes | None:
        """A complete blob, such as a manifest; None where it is not there, or is larger than so many bytes."""
        ...

    async def image_names(self) -> Sequence[ImageName]:
        """All records of images."""
        ...

    async def label_image(self, name: str, labels: Mapping[str, str | None]) -> bool:
        """Set labels of one record of an image, or take them away (None), others stay. False where it is not there."""
        ...


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
            lease: ID of a lease of containerd (`nodeprefetch.runtime.api`) that keeps what the pull brings,
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


class Inventory:
    """The answer to one ListImages.

    Names are compared as the runtime normalises them. Where a tag and a digest are given the digest decides, as it
    does in the runtime.
    """

    def __init__(self, records: Iterable[ImageRecord]) -> None:
        self._by_name: dict[str, ImageRecord] = {}
        for record in records:
            for name in (*record.repo_tags, *record.repo_digests):
                self._by_name[name] = record

    def find(self, image: ImageRef) -> ImageRecord | None:
        """The image of that name; None when it is not held."""
        return self._by_name.get(image.pull_ref)

    def names(self) -> tuple[str, ...]:
        """All names, sorted, for people."""
        return tuple(sorted(self._by_name))
