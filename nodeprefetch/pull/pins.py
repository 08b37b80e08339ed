"""Protects the images of a run from the kubelet's image garbage collection, and unpins what left the list."""

from collections.abc import Collection, Iterable
from contextlib import suppress

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.runtime.api import ContainerdApi, ImageName, ImageService
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within
from nodeprefetch.runtime.pin_labels import Released, mark_of, marks, pin_labels, release
from nodeprefetch.values.image_ref import ImageRef

PIN_TIMEOUT = 5.0
"""Seconds for pinning one image."""

SETTLE_TIMEOUT = 5.0
"""Seconds at the end of a run for adding missing pins and removing old ones."""

FIRST_PAUSE, CHECKS = 0.05, 7
"""Seconds before the runtime is asked again whether it reports a pin, doubling, and how often it is asked.

Measured: containerd reports one within a millisecond.
"""


class Pins:
    """The pins of one instance in one run. Errors never fail the run, and are reported once.

    Args:
        runtime: holds the images.
        emit: gets notices of what was done, and what failed.
        instance: owner of the pins.
    """

    def __init__(self, runtime: Runtime, emit: Reader, *, instance: str) -> None:
        self._service: ImageService = runtime.service
        self._api: ContainerdApi | None = runtime.containerd
        self._version = f"{runtime.version.name} {runtime.version.version}"
        self._emit = emit
        self._instance = instance
        self._lock = trio.Lock()
        self._settled: set[str] = set()
        """IDs of images that need nothing more: pinned, missing, or pinned by others."""

        self._marks: dict[str, tuple[str, ...]] = {}
        """By image ID, as last listed."""

        self._pinned = 0
        self._works = False
        if runtime.version.name != "containerd":
            self._give_up("does not support pinning images")
        elif self._api is None:
            self._give_up("does not answer on its own API")

    async def keep(self, image_id: str) -> None:
        """Pin an image. `settle` retries after an error."""
        with suppress(RuntimeFaultError), answered_within(PIN_TIMEOUT):
            await self._pin(image_id)

    async def settle(self, present: Collection[str], missing: Iterable[ImageRef]) -> None:
        """Pin what is not pinned yet, and unpin what this instance pinned and does not list any more.

        Args:
            present: IDs of all listed images on the node.
            missing: listed images that are missing. Pins in the same repositories stay: nothing replaced those images.
        """
        try:
            with answered_within(SETTLE_TIMEOUT):
                for image_id in present:
                    await self._pin(image_id)
                if self._api is None:
                    return
                records = await self._api.image_names()
                wanted = {*present, *_unreplaced(records, missing)}
                mine = mark_of(self._instance)
                gone = await release(
                    self._api, records, lambda record, mark: mark == mine and record.name not in wanted
                )
        except RuntimeFaultError as error:
            text = f"--pin: some pins could not be updated; will retry on the next run: {error}"
            self._emit(Notice(message=text))
        else:
            self._report(gone)

    async def _pin(self, image_id: str) -> None:
        async with self._lock:
            if self._api is None or not image_id or image_id in self._settled:
                return
            record = await self._service.image_status(image_id)
            if record is not None and not (record.pinned and await self._needs_no_change(self._api, image_id)):
                await self._label(self._api, image_id)
            self._settled.add(image_id)

    async def _needs_no_change(self, api: ContainerdApi, image_id: str) -> bool:
        """Whether a pinned image needs no change: it is pinned for this instance, or by other software."""
        if mark_of(self._instance) not in self._marks.get(image_id, ()):
            self._marks = {record.name: marks(record.labels) for record in await api.image_names()}
        ours = self._marks.get(image_id, ())
        return not ours or mark_of(self._instance) in ours

    async def _label(self, api: ContainerdApi, image_id: str) -> None:
        labels = pin_labels(self._instance)
        if not await api.label_image(image_id, labels):
            raise RuntimeFaultError.protocol(f"containerd has no record of the image ID {image_id}")
        if await self._is_reported(image_id):
            self._works = True
            self._pinned += 1
        elif self._works:
            raise RuntimeFaultError.protocol(f"containerd does not report {image_id} as pinned")
        else:
            await api.label_image(image_id, dict.fromkeys(labels))
            self._give_up("does not report pins to the kubelet")

    async def _is_reported(self, image_id: str) -> bool:
        pause = FIRST_PAUSE
        for check in range(CHECKS):
            if check:
                await trio.sleep(pause)
                pause *= 2
            record = await self._service.image_status(image_id)
            if record is not None and record.pinned:
                return True
        return False

    def _give_up(self, why: str) -> None:
        self._api = None
        self._emit(Notice(message=f"--pin disabled: {self._version} {why} (requires containerd 1.7 or later)"))

    def _report(self, gone: Iterable[Released]) -> None:
        """Report what changed, if anything did."""
        done = [f"{self._pinned} pinned"] if self._pinned else []
        done += [f"unpinned {', '.join(one.names) or one.image_id}" for one in gone]
        if done:
            self._emit(Notice(message=f"--pin: {'; '.join(done)}", is_warning=False))


def _unreplaced(records: Collection[ImageName], missing: Iterable[ImageRef]) -> set[str]:
    """IDs of images on the node in the repositories of missing images."""
    repositories = {image.lookup_name for image in missing}
    digests = {record.digest for record in records if _repository(record.name) in repositories}
    return {record.name for record in records if record.digest in digests}


def _repository(name: str) -> str:
    """`registry:5000/app` of `registry:5000/app:1` and of `registry:5000/app@sha256:…`."""
    without = name.partition("@")[0]
    head, colon, tag = without.rpartition(":")
    return head if colon and "/" not in tag else without
