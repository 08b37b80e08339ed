"""The leases of our pulls on containerd: what they are called and labelled, so that later runs find them. No I/O."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nodeprefetch.runtime.api import Lease

PREFIX: Final = "nodeprefetch-"
"""How the IDs of all our leases begin."""

_INSTANCE: Final = "nodeprefetch.io/instance"
_IMAGE: Final = "nodeprefetch.io/image"
_RUN: Final = "nodeprefetch.io/run"

_LONGEST = 1000
"""Bytes of a name in a label; containerd takes 4096 for key and value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PullLease:
    """A lease that a run of ours has made for an image."""

    id: str
    image: str
    """As containerd normalises its name."""

    instance: str
    run: str
    """ID of the run that made it."""

    expires_at: float
    """Unix seconds after which containerd collects it with the next thing that goes; infinite where it stays."""

    created_at: float = 0

    @property
    def labels(self) -> Mapping[str, str]:
        """What says whose it is. An instance without a name has no label for it: containerd keeps no empty ones."""
        labels = {_INSTANCE: self.instance, _IMAGE: self.image, _RUN: self.run}
        return {key: value for key, value in labels.items() if value}


def new_lease(image: str, *, instance: str, run: str, expires_at: float) -> PullLease:
    """One that is still to be made. Its ID comes from the instance, the image and the second in which it expires.

    So an image's leases of two generations have two IDs, and those of two instances as well.

    Args:
        image: its normalised name.
        instance: whose pulls.
        run: ID of the run.
        expires_at: Unix seconds, rounded up to whole ones.
    """
    end = math.ceil(expires_at)
    what = f"{len(instance)}:{instance}{image}".encode("utf-8", "backslashreplace")
    return PullLease(
        id=f"{PREFIX}{hashlib.sha256(what).hexdigest()[:24]}-{end}",
        image=label_value(image),
        instance=label_value(instance),
        run=run,
        expires_at=end,
    )


def pull_lease(lease: Lease) -> PullLease | None:
    """What containerd tells of a lease, where it is one of ours."""
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


def label_value(name: str) -> str:
    """A name as labels have it: as it is, unless it is no text or too long."""
    data = name.encode("utf-8", "backslashreplace")
    if len(data) > _LONGEST:
        return f"{data[:_LONGEST].decode(errors='ignore')}:{hashlib.sha256(data).hexdigest()[:16]}"
    return data.decode()
