"""IDs and labels of the leases of nodeprefetch on containerd, by which later runs find them. No I/O."""

import hashlib
import math
from collections.abc import Mapping
from typing import Final

import msgspec

from nodeprefetch.runtime.api import Lease

PREFIX: Final = "nodeprefetch-"
"""Prefix of the ID of every lease."""

_INSTANCE: Final = "nodeprefetch.io/instance"
_IMAGE: Final = "nodeprefetch.io/image"
_RUN: Final = "nodeprefetch.io/run"

_LONGEST = 1000
"""Bytes of a name in a label; containerd allows 4096 for key and value."""


class PullLease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that a run has created for an image."""

    id: str
    image: str
    """Name as normalized by containerd."""

    instance: str
    run: str
    """ID of the run that created it."""

    expires_at: float
    """Unix seconds after which containerd's next garbage collection removes it; infinite: never."""

    created_at: float = 0

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that identify it. An empty instance has none, as containerd does not store empty labels."""
        labels = {_INSTANCE: self.instance, _IMAGE: self.image, _RUN: self.run}
        return {key: value for key, value in labels.items() if value}


def new_lease(image: str, *, instance: str, run: str, expires_at: float) -> PullLease:
    """Describe a lease that is still to be created.

    The ID is derived from instance, image and expiry, so the leases of two instances have different IDs, and so have
    an old and a new lease of one image.

    Args:
        image: normalized name.
        instance: name of the installation.
        run: ID of the run.
        expires_at: Unix seconds, rounded up to whole seconds.
    """
    end = math.ceil(expires_at)
    what = f"{len(instance)}:{instance}{image}".encode("utf-8", "backslashreplace")
    return PullLease(
        id=f"{PREFIX}{hashlib.sha256(what).hexdigest()[:24]}-{end}",
        image=encode_name(image),
        instance=encode_name(instance),
        run=run,
        expires_at=end,
    )


def pull_lease(lease: Lease) -> PullLease | None:
    """Parse a lease of containerd; None if nodeprefetch did not create it."""
    image = lease.labels.get(_IMAGE)
    if not lease.id.startswith(PREFIX) or image is None:
        return None
    return PullLease(
        id=lease.id,
        image=image,
        instance=lease.labels.get(_INSTANCE, ""),
        run=lease.labels.get(_RUN, ""),
        expires_at=math.inf if lease.expires_at is None else lease.expires_at,
        created_at=lease.created_at,
    )


def encode_name(name: str) -> str:
    """Encode a name for a label: unchanged, unless it is invalid Unicode or too long."""
    data = name.encode("utf-8", "backslashreplace")
    if len(data) > _LONGEST:
        return f"{data[:_LONGEST].decode(errors='ignore')}:{hashlib.sha256(data).hexdigest()[:16]}"
    return data.decode()
