"""Keeps pulls from filling the node's disk: refuses, in the order of the list, images that do not fit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.pull.disk_space import OWN_ROOT, NotVisibleError, Space, image_directory, space_at
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.values.sizes import DiskFloor, format_size

DISK_FACTOR = 3.0
"""Bytes on disk per byte transferred: layers are kept compressed and unpacked.

Measured: docs/pins-and-disk.md. For images that take more, free space is checked during pulls.
"""

CHECK_INTERVAL = 0.25
"""Seconds between two checks of free space during pulls. Each is one system call."""

RESOLVE_GRACE = 5.0
"""Seconds to wait for an image's size before later images of the list may use the free space."""

CANCEL_PAUSE = 2.0
"""Seconds between two cancellations: the runtime frees the partial download of the first one."""

SETTLE_TIME = 10.0
"""Seconds after a cancellation in which a full disk is not final."""


async def open_disk_guard(
    floor: DiskFloor | None, path: str | None, *, service: ImageService, images: Sequence[str], emit: Reader
) -> "DiskGuard":
    """Create the guard of the image file system; one that lets all pulls pass if that is not visible.

    Args:
        floor: space to keep free; None: no guard.
        path: a directory on the image file system; None: detect it.
        service: the runtime.
        images: as the user wrote them, in the order of the list.
        emit: gets a notice of what is guarded, or why nothing is.
    """
    if floor is None:
        return DiskGuard()
    try:
        where = path or await image_directory(service)
        space = space_at(where)
    except (NotVisibleError, OSError) as error:
        text = f"--min-free-disk disabled: {error}; mount the directory and set --image-fs-path"
        emit(Notice(message=text))
        return DiskGuard()
    free = format_size(space.free) or "0 B"
    place = "the root of this container" if where == OWN_ROOT else where
    text = f"{free} of {format_size(space.total)} free at {place}, keeping {floor} free"
    emit(Notice(message=text, is_warning=False))
    return DiskGuard(lambda: space_at(where), floor, images=images, emit=emit)


@dataclass(kw_only=True, slots=True, eq=False)
class _Guarded:
    """One attempt in progress."""

    image: str
    place: int
    """In the list."""

    began: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    total: int = 0
    done: int = 0
    present: int = 0
    """Bytes of the total that were on the node when its size was first known: they take no more space."""

    is_admitted: bool = False
    refused: RuntimeFaultError | None = None

    @property
    def need(self) -> int:
        """Bytes that it may still take: the remaining download, and unpacking."""
        return round(self.total - self.done + (DISK_FACTOR - 1) * (self.total - self.present))


class DiskGuard:
    """Decides for each pull whether there is room for it, as soon as its size is known.

    Progress reports sizes (`saw`) where the runtime shows them. Elsewhere only the free space counts.

    Args:
        measure: measures the file system; raises OSError. None: all pulls pass.
        floor: space to keep free.
        images: as the user wrote them, in the order of the list.
        emit: gets a notice if the file system cannot be measured any more.
    """

    def __init__(
        self,
        measure: Callable[[], Space] | None = None,
        floor: DiskFloor = DiskFloor(),  # noqa: B008 - frozen
        *,
        images: Sequence[str] = (),
        emit: Reader | None = None,
    ) -> None:
        self._measure = measure
        self._floor = floor
        self._places = {image: place for place, image in enumerate(images)}
        self._emit = emit
        self._guarded: list[_Guarded] = []
        self._present_at_first: dict[str, int] = {}
        self._begun = trio.Event()
        self._last_cancelled = float("-inf")

    def check(self) -> None:
        """Check whether another pull may begin.

        Raises:
            RuntimeFaultError: no space. It is final if no pull in progress may free any.
        """
        space = self._measured()
        if space is None:
            return
        usable, reserved = self._usable(space), self._reserved()
        if usable > reserved:
            return
        is_final = usable <= 0 and not self._guarded and not self._is_settling
        raise _no_space(self._state(space, reserved), is_final=is_final)

    @contextmanager
    def guarding(self, image: str) -> Iterator[None]:
        """Guard an attempt while the block runs, and cancel it if it does not fit.

        Raises:
            RuntimeFaultError: it was cancelled: no space. It is final if the image would not fit alone, or was the only
                one in progress when it filled the disk.
        """
        if self._measure is None:
            yield
            return
        entry = _Guarded(image=image, place=self._places.get(image, len(self._places)), began=trio.current_time())
        self._guarded.append(entry)
        self._begun.set()
        try:
            with entry.scope:
                yield
        finally:
            self._guarded.remove(entry)
        if entry.scope.cancelled_caught and entry.refused is not None:
            raise entry.refused

    def saw(self, image: str, sight: Sight) -> None:
        """Take in how far a pull is, and refuse what does not fit.

        Args:
            image: as the user wrote it.
            sight: with its size, once that is known.
        """
        if not sight.total:
            return
        for entry in self._guarded:
            if entry.image == image:
                entry.total, entry.done = sight.total, sight.done
                before = min(self._present_at_first.get(entry.image, entry.done), entry.done)
                self._present_at_first[entry.image] = entry.present = before
        self._decide()

    async def run(self) -> None:
        """Check free space during pulls, until cancelled or until it cannot be measured."""
        while self._measure is not None:
            if not self._guarded:
                self._begun = trio.Event()
                await self._begun.wait()
            await trio.sleep(CHECK_INTERVAL)
            self._cancel_if_full()
            self._decide()

    def _decide(self) -> None:
        """Reserve free space for pulls whose size is known, in the order of the list."""
        now = trio.current_time()
        for entry in sorted(self._guarded, key=lambda one: one.place):
            if entry.is_admitted or entry.refused is not None:
                continue
            if not entry.total:
                if now - entry.began < RESOLVE_GRACE:
                    return  # later ones must wait for it
                continue
            space = self._measured()
            if space is None:
                return
            reserved = self._reserved()
            if entry.need <= self._usable(space) - reserved:
                entry.is_admitted = True
                continue
            what = (
                f"needs about {format_size(entry.need)} for the remaining download of "
                f"{format_size(entry.total - entry.done) or '0 B'}: {self._state(space, reserved)}"
            )
            is_final = entry.need > self._usable(space) and not self._is_settling
            self._refuse(entry, _no_space(what, is_final=is_final))

    def _cancel_if_full(self) -> None:
        """Cancel the last pull of the list if pulls took more than estimated, or other software fills the disk."""
        space = self._measured()
        going = [entry for entry in self._guarded if entry.refused is None]
        if space is None or not going or self._usable(space) >= 0:
            return
        if trio.current_time() - self._last_cancelled < CANCEL_PAUSE:
            return
        self._last_cancelled = trio.current_time()
        last = max(going, key=lambda one: one.place)
        text = f"cancelled to keep the disk from filling up: {self._state(space, 0)}"
        self._refuse(last, _no_space(text, is_final=len(going) == 1))  # alone it would fill the disk again

    @staticmethod
    def _refuse(entry: _Guarded, error: RuntimeFaultError) -> None:
        entry.refused = error
        entry.scope.cancel()

    @property
    def _is_settling(self) -> bool:
        return trio.current_time() - self._last_cancelled < SETTLE_TIME

    def _usable(self, space: Space) -> int:
        return space.free - self._floor.of(space.total)

    def _reserved(self) -> int:
        return sum(one.need for one in self._guarded if one.is_admitted and one.refused is None)

    def _state(self, space: Space, reserved: int) -> str:
        others = f", pulls in progress may need {format_size(reserved)}" if reserved else ""
        free, total = format_size(space.free) or "0 B", format_size(space.total)
        return f"{free} of {total} free, {self._floor} must stay free (--min-free-disk){others}"

    def _measured(self) -> Space | None:
        if self._measure is None:
            return None
        try:
            return self._measure()
        except OSError as error:
            self._measure = None
            if self._emit is not None:
                self._emit(Notice(message=f"--min-free-disk disabled: {error}"))
            return None


def _no_space(what: str, *, is_final: bool) -> RuntimeFaultError:
    fault = Fault(kind=FaultClass.NO_SPACE, reason="no_space", retries=0 if is_final else None)
    return RuntimeFaultError(f"no space: {what}", fault=fault)
