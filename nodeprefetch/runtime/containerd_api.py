"""containerd's own API as this program sees it: `ContainerdApi`, and the records it answers with.

It is served on the same socket as CRI, in the namespace `k8s.io`, and is never required: without it, pulls are done
the plain CRI way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


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
