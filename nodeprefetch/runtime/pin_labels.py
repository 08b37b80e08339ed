"""Labels that pin an image on containerd, and whose pins they are: which to write, which to take away again.

containerd (1.7 and newer) reports an image as pinned while any record of it has the label `io.cri-containerd.pinned`,
and the kubelet does not collect what is pinned. Beside it stands a label of ours for each instance that wants the pin,
so that only our pins are taken away, and only the last instance takes one away.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from nodeprefetch.runtime.api import ContainerdApi, ImageName

PINNED: Final = "io.cri-containerd.pinned"
_MARK: Final = "nodeprefetch.io/pinned-by"
_LONGEST_NAME = 1000
"""Characters of an instance in a label; containerd takes 4096 bytes for key and value."""

PINNED_VALUE: Final = "pinned"
"""Any other is no pin."""


def mark_of(instance: str) -> str:
    """Key of the label that says that this instance wants the pin; that without a name has one too."""
    name = quote(instance, safe="", errors="surrogatepass")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}:{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{_MARK}.{name}" if name else _MARK


def marks(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Those among the keys that are ours, sorted."""
    return tuple(sorted(key for key in labels if key == _MARK or key.startswith(f"{_MARK}.")))


def instance_of(mark: str) -> str:
    """The name in the key of a label of ours; empty for the one without."""
    return unquote(mark.removeprefix(_MARK).removeprefix("."), errors="replace")


def pin_labels(instance: str) -> Mapping[str, str | None]:
    """What pins an image for an instance."""
    return {PINNED: PINNED_VALUE, mark_of(instance): "true"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """One image whose pin is no longer wanted by some of our instances."""

    image_id: str
    names: tuple[str, ...]
    """With tag or digest, as containerd has them; empty where only the image ID is left."""

    instances: tuple[str, ...]
    """Those that wanted it until now."""

    still: tuple[str, ...]
    """Those that want it still, so that it stays pinned."""


async def release(
    api: ContainerdApi, records: Sequence[ImageName], is_released: Callable[[ImageName, str], bool]
) -> list[Released]:
    """Take away marks of ours, and with the last one of an image its pin.

    Another instance may pin the same image at that very moment; where it did, its pin is put back.

    Args:
        api: where the records are.
        records: all of them.
        is_released: whether this record loses the mark of that key.

    Raises:
        RuntimeFaultError: containerd refused, or is not there.
    """
    released = []
    for record in records:
        ours = marks(record.labels)
        going = [mark for mark in ours if is_released(record, mark)]
        if not going:
            continue
        still = [mark for mark in ours if mark not in going]
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
    """Tags where there are any, else digests."""
    same = [one.name for one in records if one.digest == record.digest and one.name != record.name]
    tags = [name for name in same if "@" not in name and not name.startswith("sha256:")]
    return tuple(sorted(tags or (name for name in same if "@" in name)))
