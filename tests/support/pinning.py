"""A fake containerd whose CRI and own API know of each other, as far as pins go."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from nodeprefetch.runtime.api import ImageRecord, RuntimeVersion
from nodeprefetch.testing.containerd_api import FakeContainerdApi
from nodeprefetch.testing.service import FakeImageService
from nodeprefetch.values.image_ref import ImageRef


@dataclass(kw_only=True)
class PinningImageService(FakeImageService):
    """A `FakeImageService` that makes containerd's three records of what it pulls, and reports their pins.

    Args:
        api: where the records are.
        reports_pins: False: as containerd 1.6, which keeps the label and does not look at it.
    """

    api: FakeContainerdApi = field(default_factory=FakeContainerdApi)
    reports_pins: bool = True
    name: str = "containerd"

    def __post_init__(self) -> None:
        super().__post_init__()
        for record in self._held:
            self._record(record)

    async def version(self) -> RuntimeVersion:
        """A containerd that has pins, or has none yet."""
        await super().version()
        return RuntimeVersion(name=self.name, version="2.4.2" if self.reports_pins else "1.6.20~ds1")

    async def list_images(self) -> Sequence[ImageRecord]:
        """What is held, and whether it is pinned."""
        return tuple(map(self._seen, await super().list_images()))

    async def image_status(self, image: str) -> ImageRecord | None:
        """The same of one."""
        found = await super().image_status(image)
        return None if found is None else self._seen(found)

    async def remove_image(self, image: str) -> None:
        """With all its records."""
        record = self._find(image)
        await super().remove_image(image)
        if record is not None:
            digest = self.api.names[record.id].digest
            for name in [one.name for one in self.api.names.values() if one.digest == digest]:
                self.api.forget(name)

    def pinned(self) -> set[str]:
        """IDs of the images that are reported as pinned."""
        return {record.id for record in self._held if self._seen(record).pinned}

    def _hold(self, ref: ImageRef, image_id: str) -> None:
        super()._hold(ref, image_id)
        self._record(self._held[-1])

    def _record(self, record: ImageRecord) -> None:
        """The record of the ID keeps its labels; the others are made anew."""
        for name in (*record.repo_tags, *record.repo_digests):
            self.api.record(name, f"manifest of {record.id}", labels={"io.cri-containerd.image": "managed"})
        if record.id not in self.api.names:
            self.api.record(record.id, f"manifest of {record.id}", labels={"io.cri-containerd.image": "managed"})

    def _seen(self, record: ImageRecord) -> ImageRecord:
        digest = self.api.names[record.id].digest
        labels = [one.labels for one in self.api.names.values() if one.digest == digest]
        is_pinned = self.reports_pins and any(each.get("io.cri-containerd.pinned") == "pinned" for each in labels)
        return msgspec.structs.replace(record, pinned=is_pinned)
