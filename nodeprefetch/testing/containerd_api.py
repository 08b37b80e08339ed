"""A fake of containerd's own API, with leases, blobs and records of images that a test sets and changes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import trio

from nodeprefetch.runtime.api import ImageName, Ingest, Lease, Resource, ResourceKind
from nodeprefetch.runtime.errors import RuntimeFaultError


@dataclass(kw_only=True)
class FakeContainerdApi:
    """A `ContainerdApi` without containerd. It passes the same contract tests as containerd.

    Simulate a pull step by step, at any time::

        api.begin(layer, total=512 * MIB, lease="ours")
        await trio.sleep(1)
        api.write(layer, 143 * MIB)
        await trio.sleep(1)
        api.commit(layer, 512 * MIB)
        api.record("registry.test/app:1", manifest, blobs=[layer])

    Name blobs by their digest, also while they are downloaded: the ingest of a layer is `layer-DIGEST`.

    Args:
        wall: Unix seconds. Default: Trio's clock.
    """

    wall: Callable[[], float] = trio.current_time
    asked: list[str] = field(default_factory=list, init=False)
    """Names of the methods called, in order."""

    gone: RuntimeFaultError | None = None
    """While set, every call fails with it."""

    def __post_init__(self) -> None:
        self.leases_held: dict[str, Lease] = {}
        """By ID."""
        self.resources: dict[str, list[Resource]] = {}
        """By the ID of the lease."""
        self.arriving: dict[str, Ingest] = {}
        """By reference."""
        self.blobs: dict[str, bytes | int] = {}
        """By digest: the bytes, or just their number."""
        self.unpacked: dict[str, set[str]] = {}
        """Snapshotters by the digest of a config."""
        self.names: dict[str, ImageName] = {}
        self._of_names: dict[str, frozenset[str]] = {}

    # For tests.

    def begin(self, digest: str, *, total: int, lease: str = "", kind: str = "layer") -> None:
        """Start or resume the download of a blob, also held by this lease."""
        ref = f"{kind}-{digest}"
        self.arriving.setdefault(ref, Ingest(ref=ref, offset=0, total=total))
        if lease:
            self.hold(lease, ResourceKind.INGEST, ref)

    def write(self, digest: str, offset: int, *, kind: str = "layer") -> None:
        """Set the number of bytes downloaded."""
        ref = f"{kind}-{digest}"
        self.arriving[ref] = msgspec.structs.replace(self.arriving[ref], offset=offset)

    def commit(self, digest: str, content: bytes | int, *, kind: str = "layer") -> None:
        """Complete a blob: its bytes, or just their number. The leases that held its ingest hold the blob."""
        ref = f"{kind}-{digest}"
        self.arriving.pop(ref, None)
        self.blobs[digest] = content
        for lease, held in self.resources.items():
            if Resource(kind=ResourceKind.INGEST, id=ref) in held:
                self.drop(lease, ResourceKind.INGEST, ref)
                self.hold(lease, ResourceKind.CONTENT, digest)

    def hold(self, lease: str, kind: ResourceKind, name: str) -> None:
        """Add a resource to a lease, such as a snapshot of a layer being unpacked.

        Raises:
            KeyError: the lease does not exist.
        """
        resource = Resource(kind=kind, id=name)
        if resource not in self.resources[lease]:
            self.resources[lease].append(resource)

    def drop(self, lease: str, kind: ResourceKind, name: str) -> None:
        """Remove a resource from a lease."""
        self.resources[lease].remove(Resource(kind=kind, id=name))

    def record(
        self, name: str, digest: str, *, labels: Mapping[str, str] | None = None, blobs: Iterable[str] = ()
    ) -> None:
        """Add or replace a record of an image. It keeps the manifest and these blobs."""
        self.names[name] = ImageName(name=name, digest=digest, labels=dict(labels or {}))
        self._of_names[name] = frozenset({digest, *blobs})

    def forget(self, name: str) -> None:
        """Remove a record of an image, as another client might do, and collect garbage."""
        del self.names[name], self._of_names[name]
        self.collect()

    def collect(self) -> None:
        """Collect garbage: expired leases, and everything that neither a lease nor an image holds."""
        now = self.wall()
        for lease in [*self.leases_held.values()]:
            if lease.expires_at is not None and lease.expires_at < now:
                self._forget_lease(lease.id)
        held = {resource.id for resources in self.resources.values() for resource in resources}
        held = held.union(*self._of_names.values())
        self.arriving = {ref: ingest for ref, ingest in self.arriving.items() if ref in held}
        self.blobs = {digest: blob for digest, blob in self.blobs.items() if digest in held}

    # The API.

    async def create_lease(self, lease_id: str, *, expires_at: float, labels: Mapping[str, str]) -> bool:
        """Create a lease."""
        await self._enter("create_lease")
        if lease_id in self.leases_held:
            return False
        lease = Lease(id=lease_id, labels=dict(labels), created_at=self.wall(), expires_at=expires_at)
        self.leases_held[lease_id] = lease
        self.resources[lease_id] = []
        return True

    async def delete_lease(self, lease_id: str) -> bool:
        """Delete a lease, and collect garbage."""
        await self._enter("delete_lease")
        if lease_id not in self.leases_held:
            return False
        self._forget_lease(lease_id)
        self.collect()
        return True

    async def leases(self) -> Sequence[Lease]:
        """List all leases."""
        await self._enter("leases")
        return tuple(self.leases_held.values())

    async def lease_resources(self, lease_id: str) -> Sequence[Resource] | None:
        """List what a lease holds."""
        await self._enter("lease_resources")
        return tuple(self.resources[lease_id]) if lease_id in self.resources else None

    async def ingests(self) -> Sequence[Ingest]:
        """List blobs that are being downloaded."""
        await self._enter("ingests")
        return tuple(self.arriving.values())

    async def abort_ingest(self, ref: str) -> bool:
        """Abort the download of a blob."""
        await self._enter("abort_ingest")
        return self.arriving.pop(ref, None) is not None

    async def blob_size(self, digest: str) -> int | None:
        """Return the size of a complete blob."""
        await self._enter("blob_size")
        blob = self.blobs.get(digest)
        return len(blob) if isinstance(blob, bytes) else blob

    async def read_blob(self, digest: str, *, most: int) -> bytes | None:
        """Return a complete blob; zeros if only its size is known."""
        await self._enter("read_blob")
        blob = self.blobs.get(digest)
        if blob is None or (blob if isinstance(blob, int) else len(blob)) > most:
            return None
        return bytes(blob)

    async def snapshotters(self, config: str) -> frozenset[str] | None:
        """Return for which snapshotters an image was unpacked."""
        await self._enter("snapshotters")
        return frozenset(self.unpacked.get(config, ())) if config in self.blobs else None

    async def image_names(self) -> Sequence[ImageName]:
        """List all records of images."""
        await self._enter("image_names")
        return tuple(self.names.values())

    async def image_digest(self, name: str) -> str | None:
        """Return what a name refers to."""
        await self._enter("image_digest")
        record = self.names.get(name)
        return None if record is None else record.digest

    async def label_image(self, name: str, labels: Mapping[str, str | None]) -> bool:
        """Change labels of one record."""
        await self._enter("label_image")
        record = self.names.get(name)
        if record is None:
            return False
        changed = {**record.labels, **labels}
        self.names[name] = msgspec.structs.replace(
            record, labels={key: value for key, value in changed.items() if value}
        )
        return True

    async def _enter(self, method: str) -> None:
        self.asked.append(method)
        await trio.lowlevel.checkpoint()
        if self.gone is not None:
            raise self.gone

    def _forget_lease(self, lease_id: str) -> None:
        del self.leases_held[lease_id], self.resources[lease_id]
