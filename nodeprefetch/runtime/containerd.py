"""`ContainerdApi` over gRPC, on the channel of CRI."""

import math
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final, TypeVar

import trio

from nodeprefetch.rpc import Channel, GRPCError, Status
from nodeprefetch.rpc import containerd as rpc
from nodeprefetch.runtime.api import ContainerdApi, ImageName, Ingest, Lease, Resource, ResourceKind, RuntimeVersion
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within, mapped_errors
from nodeprefetch.values.timestamp import format_timestamp, parse_timestamp

NAMESPACE: Final = {"containerd-namespace": "k8s.io"}
"""Metadata of every call: the namespace of CRI."""

EXPIRES: Final = "containerd.io/gc.expire"
"""Label of a lease with its expiry, RFC 3339."""

_UNPACKED: Final = "containerd.io/gc.ref.snapshot."
"""Begins the labels of a config that keep the snapshots of the unpacked image; the snapshotter follows."""

ANSWER_LIMIT = 5.0
"""Seconds in which containerd has to answer the first call."""

_ABORT_PAUSES = (0.05, 0.2, 1.0)
"""Seconds before an abort is retried. It fails while the pull that was just cancelled is still writing."""

_KINDS = {kind.value: kind for kind in ResourceKind}

Reply = TypeVar("Reply")


async def find_containerd_api(
    version: RuntimeVersion, channel: Channel, warn: Callable[[str], None]
) -> ContainerdApi | None:
    """Return containerd's own API; None if the runtime is not containerd, or does not serve it.

    Args:
        version: of the runtime.
        channel: connection to the runtime.
        warn: called if containerd does not serve the API.
    """
    if version.name != "containerd":
        return None
    api = ContainerdClient(channel)
    try:
        with answered_within(ANSWER_LIMIT):
            await api.leases()
    except RuntimeFaultError as error:
        warn(f"containerd API unavailable: pulls cannot be resumed and report no progress: {error}")
        return None
    return api


class ContainerdClient:
    """Calls containerd over a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def create_lease(self, lease_id: str, *, expires_at: float, labels: Mapping[str, str]) -> bool:
        """Create a lease that expires at that time (Unix seconds). False if the ID exists already."""
        request = rpc.leases.CreateRequest(id=lease_id, labels={**labels, EXPIRES: _rfc3339(expires_at)})
        return await _unless({Status.ALREADY_EXISTS}, self._leases.create(request)) is not None

    async def delete_lease(self, lease_id: str) -> bool:
        """Delete a lease, and wait for the garbage collection. False if it does not exist."""
        request = rpc.leases.DeleteRequest(id=lease_id, sync=True)
        return await _unless({Status.NOT_FOUND}, self._leases.delete(request)) is not None

    async def leases(self) -> Sequence[Lease]:
        """List all leases in the namespace of CRI, also those of containerd itself."""
        with mapped_errors():
            reply = await self._leases.list(rpc.leases.ListRequest())
        return tuple(_lease(one) for one in reply.leases)

    async def lease_resources(self, lease_id: str) -> Sequence[Resource] | None:
        """List what a lease holds, without unknown kinds; None if it does not exist."""
        request = rpc.leases.ListResourcesRequest(id=lease_id)
        reply = await _unless({Status.NOT_FOUND}, self._leases.list_resources(request))
        if reply is None:
            return None
        return tuple(
            Resource(kind=kind, id=one.id)
            for one in reply.resources
            if (kind := _KINDS.get(one.type.partition("/")[0]))  # `snapshots/overlayfs` names the snapshotter too
        )

    async def ingests(self) -> Sequence[Ingest]:
        """List all blobs that are being downloaded."""
        with mapped_errors():
            reply = await self._content.list_statuses(rpc.content.ListStatusesRequest())
        return tuple(Ingest(ref=one.ref, offset=one.offset, total=one.total) for one in reply.statuses)

    async def abort_ingest(self, ref: str) -> bool:
        """Abort the download of a blob, whoever holds it. False if it does not exist."""
        for pause in _ABORT_PAUSES:
            with suppress(RuntimeFaultError):
                return await self._abort(ref)
            await trio.sleep(pause)
        return await self._abort(ref)

    async def _abort(self, ref: str) -> bool:
        return await _unless({Status.NOT_FOUND}, self._content.abort(rpc.content.AbortRequest(ref=ref))) is not None

    async def blob_size(self, digest: str) -> int | None:
        """Return the size of a complete blob; None if it does not exist or is incomplete."""
        info = await self._info(digest)
        return None if info is None else info.size

    async def snapshotters(self, config: str) -> frozenset[str] | None:
        """Return for which snapshotters the image with this config was unpacked; None if the config does not exist."""
        info = await self._info(config)
        if info is None:
            return None
        return frozenset(
            key.removeprefix(_UNPACKED) for key, value in info.labels.items() if key.startswith(_UNPACKED) and value
        )

    async def read_blob(self, digest: str, *, most: int) -> bytes | None:
        """Return a complete blob, such as a manifest; None if it does not exist or has more than `most` bytes."""
        return await _unless({Status.NOT_FOUND}, self._read(digest, most))

    async def image_names(self) -> Sequence[ImageName]:
        """List all records of images."""
        with mapped_errors():
            reply = await self._images.list(rpc.images.ListImagesRequest())
        return tuple(
            ImageName(name=one.name, digest=one.target.digest if one.target else "", labels=one.labels)
            for one in reply.images
        )

    async def image_digest(self, name: str) -> str | None:
        """Return the digest of the manifest or index that a name refers to; None if there is no such record."""
        found = await self._record(name)
        return found.target.digest if found is not None and found.target else None

    async def label_image(self, name: str, labels: Mapping[str, str | None]) -> bool:
        """Set labels of a record, or remove them (None); others stay. False if the record does not exist.

        An empty value also removes a label: containerd does not store it.
        """
        found = await self._record(name)
        if found is None or not labels:
            return found is not None
        target = found.target
        if target is None or not target.digest:
            raise RuntimeFaultError.protocol(f"containerd's record of image {name!r} has no target")
        return await self._update_labels(name, target, labels)

    async def _info(self, digest: str) -> "rpc.content.Info | None":
        call = self._content.info(rpc.content.InfoRequest(digest=digest))
        # Digests come from manifests, and invalid ones count as missing.
        reply = await _unless({Status.NOT_FOUND, Status.INVALID_ARGUMENT}, call)
        return None if reply is None else reply.info

    async def _record(self, name: str) -> "rpc.images.Image | None":
        reply = await _unless({Status.NOT_FOUND}, self._images.get(rpc.images.GetImageRequest(name=name)))
        return None if reply is None else reply.image or rpc.images.Image(name=name)

    async def _update_labels(self, name: str, target: "rpc.types.Target", labels: Mapping[str, str | None]) -> bool:
        """Send an Update, with a target (without it, containerd crashes) and a mask.

        Without a mask, all labels and the target would be replaced.
        """
        request = rpc.images.UpdateImageRequest(
            image=rpc.images.Image(
                name=name, target=target, labels={key: value for key, value in labels.items() if value is not None}
            ),
            update_mask=rpc.types.FieldMask(paths=[f"labels.{key}" for key in labels]),
        )
        return await _unless({Status.NOT_FOUND}, self._images.update(request)) is not None

    async def _read(self, digest: str, most: int) -> bytes | None:
        data = bytearray()
        async with self._content.read(rpc.content.ReadContentRequest(digest=digest)) as parts:
            async for part in parts:
                data += part.data
                if len(data) > most:
                    return None
        return bytes(data)

    @cached_property
    def _leases(self) -> "rpc.leases.LeasesStub":
        return rpc.leases.LeasesStub(self._channel, metadata=NAMESPACE)

    @cached_property
    def _content(self) -> "rpc.content.ContentStub":
        return rpc.content.ContentStub(self._channel, metadata=NAMESPACE)

    @cached_property
    def _images(self) -> "rpc.images.ImagesStub":
        return rpc.images.ImagesStub(self._channel, metadata=NAMESPACE)


async def _unless(statuses: Container[Status], call: Awaitable[Reply]) -> Reply | None:
    """Return the response to a call; None for these statuses, which need no classification."""
    with mapped_errors():
        try:
            return await call
        except GRPCError as error:
            if error.status in statuses:
                return None
            raise


def _lease(lease: "rpc.leases.Lease") -> Lease:
    labels = dict(lease.labels)
    expires_at = parse_timestamp(labels.get(EXPIRES, ""))  # containerd keeps a lease with an invalid one until deleted
    if expires_at is not None:
        del labels[EXPIRES]
    created = lease.created_at
    return Lease(
        id=lease.id,
        labels=labels,
        created_at=created.seconds + created.nanos / 1e9 if created else 0,
        expires_at=expires_at,
    )


def _rfc3339(seconds: float) -> str:
    """Format a time in UTC, rounded up to milliseconds."""
    return format_timestamp(math.ceil(seconds * 1000) / 1000, precision="milliseconds")
