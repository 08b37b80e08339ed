"""Labels that pin an image on containerd, and record which instances want the pin.

containerd (1.7 and newer) reports an image as pinned while any record of it has the label `io.cri-containerd.pinned`,
and the kubelet's image garbage collection skips pinned images. Another label records each instance that wants the pin,
so that only pins of nodeprefetch are removed, and only by the last instance.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from nodeprefetch.runtime.api import ContainerdApi, ImageName

PINNED: Final = "io.cri-containerd.pinned"
_MARK: Final = "nodeprefetch.io/pinned-by"
_LONGEST_NAME = 1000
"""Characters of an instance in a label; containerd allows 4096 bytes for key and value."""

PINNED_VALUE: Final = "pinned"
"""Any other value does not pin."""


def mark_of(instance: str) -> str:
    """Return the key of the label that records an instance, also of the one without a name."""
    name = quote(instance, safe="", errors="surrogatepass")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}:{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{_MARK}.{name}" if name else _MARK


def marks(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys that record instances, sorted."""
    return tuple(sorted(key for key in labels if key == _MARK or key.startswith(f"{_MARK}.")))


def instance_of(mark: str) -> str:
    """Return the instance that a key records; empty for the one without a name."""
    return unquote(mark.removeprefix(_MARK).removeprefix("."), errors="replace")


def pin_labels(instance: str) -> Mapping[str, str | None]:
    """Return the labels that pin an image for an instance."""
    return {PINNED: PINNED_VALUE, mark_of(instance): "true"}


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """An image that some instances no longer pin."""

    image_id: str
    names: tuple[str, ...]
    """Names with tag or digest; empty if only the image ID is left."""

    instances: tuple[str, ...]
    """Instances that no longer pin it."""

    still: tuple[str, ...]
    """Instances that still pin it."""


async def release(
    api: ContainerdApi, records: Sequence[ImageName], is_released: Callable[[ImageName, str], bool]
) -> list[Released]:
    """Remove marks of instances, and the pin together with the last mark of an image.

    If another instance pins the same image at the same moment, its pin is restored.

    Args:
        api: of containerd.
        records: all records of images.
        is_released: whether this record loses the mark with that key.

    Raises:
        RuntimeFaultError: containerd is unavailable, or returned an error.
    """
    released = []
    for record in records:
        present = marks(record.labels)
        going = [mark for mark in present if is_released(record, mark)]
        if not going:
            continue
        still = [mark for mark in present if mark not in going]
        without: dict[str, str | None] = dict.fromkeys(going if still else (*going, PINNED))
        await api.label_image(record.name, without)
        released.append(
            Released(
                image_id=record.name,
                names=_names(record, records),
                instances=tuple(map(instance_of, going)),
                still=tuple(map(instance_of, still)),
            )
        )
    unpinned = {one.image_id for one in released if not one.still}
    if unpinned:
        await _repin(api, unpinned)
    return released


async def _repin(api: ContainerdApi, unpinned: Collection[str]) -> None:
    for record in await api.image_names():
        if record.name in unpinned and marks(record.labels) and PINNED not in record.labels:
            await api.label_image(record.name, {PINNED: PINNED_VALUE})


def _names(record: ImageName, records: Sequence[ImageName]) -> tuple[str, ...]:
    """Return the other names of an image: tags if there are any, else digests."""
    same = [one.name for one in records if one.digest == record.digest and one.name != record.name]
    tags = [name for name in same if "@" not in name and not name.startswith("sha256:")]
    return tuple(sorted(tags or (name for name in same if "@" in name)))
