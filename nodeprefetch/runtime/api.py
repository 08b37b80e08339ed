"""The interfaces of the container runtime: `ImageService` (CRI), `ContainerdApi` (containerd only), and their records.

containerd serves its own API on the same socket as CRI, in the namespace `k8s.io`. It is optional: without it, pulls
use CRI alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.values.image_ref import ImageRef


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An image on the node (CRI's `Image`)."""

    id: str
    """The image ID, which is the digest of the config: `sha256:…` on containerd, hex digits only on CRI-O."""

    repo_tags: tuple[str, ...] = ()
    """Names with tag, normalized by the runtime. Empty if the tag has moved to another image."""

    repo_digests: tuple[str, ...] = ()
    """`name@sha256:…`, with the digest of the manifest or index."""

    size: int = 0
    """Bytes: compressed on containerd, uncompressed layers on CRI-O."""

    pinned: bool = False
    """Whether the kubelet's image garbage collection skips it."""


class RuntimeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """Name and version of a container runtime."""

    name: str
    """`containerd`, `cri-o`."""

    version: str
    """`1.6.20~ds1`; may have a suffix or a leading v."""

    @property
    def is_containerd_2(self) -> bool:
        """Whether it is containerd 2 or newer.

        Version 2 downloads three layers at a time for all pulls together, first come, first served (the transfer
        service's `max_concurrent_downloads`); version 1 does so for each pull.
        """
        return self.name == "containerd" and self.release >= (2, 0)

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version: (2, 4) for `2.4.2`, `v2.4.0-rc.1` and `1:2.4`; 0 for what is not a number."""
        major, _, rest = self.version.rpartition(":")[2].removeprefix("v").partition(".")
        return _number(major), _number(rest.partition(".")[0])

    @property
    def is_crio(self) -> bool:
        """Whether it is CRI-O."""
        return self.name == "cri-o"


def _number(digits: str) -> int:
    return int(digits) if digits.isascii() and digits.isdigit() else 0


class ImageFilesystem(msgspec.Struct, frozen=True, kw_only=True):
    """A file system with images (CRI's `FilesystemUsage`)."""

    mountpoint: str
    """A directory on the host, not always a mount point."""


class ImageService(Protocol):
    """The part of CRI that is used.

    Every method raises `nodeprefetch.runtime.errors.RuntimeFaultError` if the runtime is unavailable or returns an
    error. The caller limits the time. Cancelling a pull stops it in the runtime.
    """

    async def version(self) -> RuntimeVersion:
        """Return the name and version of the runtime."""
        ...

    async def list_images(self) -> Sequence[ImageRecord]:
        """List all images on the node."""
        ...

    async def image_status(self, image: str) -> ImageRecord | None:
        """Return the image with that name, digest or ID; None if it is not on the node."""
        ...

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:
        """Pull and unpack an image; returns its ID. The runtime asks the registry even if the image is present.

        Args:
            image: name of the image.
            auth: credential; None: anonymous.
            lease: ID of a containerd lease that keeps the downloaded data, also when the pull is interrupted. If it
                does not exist, the pull fails with the reason `lease_gone`. Other runtimes ignore it.
        """
        ...

    async def remove_image(self, image: str) -> None:
        """Remove an image with all its tags and digests. Unknown images are ignored."""
        ...

    async def image_fs_info(self) -> Sequence[ImageFilesystem]:
        """List the file systems with images."""
        ...


class Inventory:
    """The images on the node, as one ListImages call returned them.

    Compares names as the runtime normalizes them. If a name has tag and digest, the digest decides, as in the runtime.
    """

    def __init__(self, records: Iterable[ImageRecord]) -> None:
        self._by_name: dict[str, ImageRecord] = {}
        for record in records:
            for name in (*record.repo_tags, *record.repo_digests):
                self._by_name[name] = record

    def find(self, image: ImageRef) -> ImageRecord | None:
        """Return the image with that name; None if it is not on the node."""
        return self.named(image.pull_ref)

    def named(self, name: str) -> ImageRecord | None:
        """The same for a name as the runtime normalizes it."""
        return self._by_name.get(name)

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted(self._by_name))


class ResourceKind(StrEnum):
    """What a lease can hold. Snapshots may belong to any snapshotter."""

    CONTENT = "content"
    INGEST = "ingests"
    SNAPSHOT = "snapshots"


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a lease protects from containerd's garbage collection."""

    kind: ResourceKind
    id: str
    """Digest of a blob, reference of an ingest, or key of a snapshot."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Protects the data of a pull from containerd's garbage collection."""

    id: str
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    created_at: float = 0
    """Unix seconds."""

    expires_at: float | None = None
    """Unix seconds after which the next garbage collection removes it; None: never."""


class Ingest(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that is being downloaded."""

    ref: str
    """`layer-sha256:…`, `config-sha256:…`, `manifest-sha256:…` or `index-sha256:…`; does not name the image."""

    offset: int
    """Bytes written so far. Grows in steps of 1 MiB, the size of containerd's buffer, until the last one."""

    total: int
    """Bytes of the complete blob; 0 if unknown."""


class ImageName(msgspec.Struct, frozen=True, kw_only=True):
    """A record of an image in containerd: a name with labels. CRI creates three for each image it pulls."""

    name: str
    """`registry/repository:tag`, `registry/repository@sha256:…`, or the image ID."""

    digest: str
    """Digest of the manifest or index that the name refers to."""

    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class ContainerdApi(Protocol):
    """The part of containerd's own API that is used.

    Every method raises `nodeprefetch.runtime.errors.RuntimeFaultError` if containerd is unavailable, or returns an
    error that is not described here. The caller limits the time.
    """

    async def create_lease(self, lease_id: str, *, expires_at: float, labels: Mapping[str, str]) -> bool:
        """Create a lease that expires at that time (Unix seconds). False if the ID exists already."""
        ...

    async def delete_lease(self, lease_id: str) -> bool:
        """Delete a lease, and wait for the garbage collection. False if it does not exist."""
        ...

    async def leases(self) -> Sequence[Lease]:
        """List all leases in the namespace of CRI, also those of containerd itself."""
        ...

    async def lease_resources(self, lease_id: str) -> Sequence[Resource] | None:
        """List what a lease holds; None if it does not exist."""
        ...

    async def ingests(self) -> Sequence[Ingest]:
        """List all blobs that are being downloaded."""
        ...

    async def abort_ingest(self, ref: str) -> bool:
        """Abort the download of a blob, whoever holds it. False if it does not exist."""
        ...

    async def blob_size(self, digest: str) -> int | None:
        """Return the size of a complete blob; None if it does not exist or is incomplete."""
        ...

    async def read_blob(self, digest: str, *, most: int) -> bytes | None:
        """Return a complete blob, such as a manifest; None if it does not exist or has more than `most` bytes."""
        ...

    async def snapshotters(self, config: str) -> frozenset[str] | None:
        """Return for which snapshotters the image with this config was unpacked; None if the config does not exist.

        Empty for an image without layers, and for what is no image.
        """
        ...

    async def image_names(self) -> Sequence[ImageName]:
        """List all records of images."""
        ...

    async def image_digest(self, name: str) -> str | None:
        """Return the digest of the manifest or index that a name refers to; None if there is no such record."""
        ...

    async def label_image(self, name: str, labels: Mapping[str, str | None]) -> bool:
        """Set labels of a record, or remove them (None); others stay. False if the record does not exist."""
        ...
