"""Keeps pulls from filling the node's disk: refuses what does not fit, in the list's order, before the disk is full."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.events import Notice, Reader
from nodeprefetch.pull.disk_space import OWN_ROOT, Space, UnseenError, image_directory, space_at
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.values.sizes import DiskFloor, format_size

FACTOR = 3.0
"""Bytes that an image takes on the disk by the bytes it is transferred as: layers are kept compressed and unpacked.

Measured: docs/pins-and-disk.md. What takes more is met by the look at what is really free.
"""

LOOK_INTERVAL = 0.25
"""Seconds between two looks at the disk while pulls are under way: each is one call of the kernel."""

RESOLVE_GRACE = 5.0
"""Seconds that an image's size is waited for before those behind it in the list are given what is free."""

CUT_PAUSE = 2.0
"""Seconds after a cut before the next one: the runtime frees what the first one had brought."""

SETTLING = 10.0
"""Seconds after a cut in which a full disk is not final."""


async def open_disk_guard(
    floor: DiskFloor | None, path: str | None, *, service: ImageService, images: Sequence[str], emit: Reader
) -> "DiskGuard":
    """The guard of the file system that the runtime keeps images on; one that lets all pass where that is not known.

    Args:
        floor: what is to stay free; None: no guard is wanted.
        path: where that file system is visible; None: where the runtime says.
        service: the runtime.
        images: as the user wrote them, in the list's order.
        emit: hears what is watched, or why nothing is.
    """
    if floor is None:
        return DiskGuard()
    try:
        where = path or await image_directory(service)
        space = space_at(where)
    except (UnseenError, OSError) as error:
        text = f"--min-free-disk is not checked: {error}; mount that directory and say where by --image-fs-path"
        emit(Notice(message=text))
        return DiskGuard()
    free = format_size(space.free) or "0 B"
    place = "the file system of our container" if where == OWN_ROOT else where
    text = f"{free} of {format_size(space.total)} are free at {place}, {floor} are to stay free"
    emit(Notice(message=text, is_warning=False))
    return DiskGuard(lambda: space_at(where), floor, images=images, emit=emit)


@dataclass(kw_only=True, slots=True, eq=False)
class _UnderWay:
    """One attempt that has its slot."""

    image: str
    place: int
    """In the list."""

    began: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    total: int = 0
    done: int = 0
    unpacked: int = 0
    """Bytes of the total that were there when it was first seen: they take no more room."""

    is_admitted: bool = False
    refused: RuntimeFaultError | None = None

    @property
    def need(self) -> int:
        """Bytes that it may still take: what is to be fetched, and all of it unpacked."""
        return round(self.total - self.done + (FACTOR - 1) * (self.total - self.unpacked))


class DiskGuard:
    """Decides for each pull whether there is room for it, as soon as its size is known.

    Progress reports sizes (`saw`) where the runtime shows them. Elsewhere only the free space counts.

    Args:
        measure: the file system, now; raises OSError. None: there is nothing to guard, all pulls pass.
        floor: what is to stay free.
        images: as the user wrote them, in the list's order.
        emit: hears when the file system cannot be looked at any more.
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
        self._under_way: list[_UnderWay] = []
        self._there_before: dict[str, int] = {}
        self._begun = trio.Event()
        self._last_cut = float("-inf")

    def check(self) -> None:
        """Whether another pull may begin.

        Raises:
            RuntimeFaultError: of the class no-space. It is final where nothing is under way that may leave room.
        """
        space = self._look()
        if space is None:
            return
        usable, reserved = self._usable(space), self._reserved()
        if usable > reserved:
            return
        is_final = usable <= 0 and not self._under_way and not self._is_settling
        raise _no_space(self._state(space, reserved), is_final=is_final)

    @contextmanager
    def guarding(self, image: str) -> Iterator[None]:
        """Watch an attempt while the block runs, and cut it where it does not fit.

        Raises:
            RuntimeFaultError: it was cut; of the class no-space. It is final where the image would not fit if it were
                the only one under way, or was the only one when it filled the disk.
        """
        if self._measure is None:
            yield
            return
        entry = _UnderWay(image=image, place=self._places.get(image, len(self._places)), began=trio.current_time())
        self._under_way.append(entry)
        self._begun.set()
        try:
            with entry.scope:
                yield
        finally:
            self._under_way.remove(entry)
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
        for entry in self._under_way:
            if entry.image == image:
                entry.total, entry.done = sight.total, sight.done
                before = min(self._there_before.get(entry.image, entry.done), entry.done)
                self._there_before[entry.image] = entry.unpacked = before
        self._decide()

    async def run(self) -> None:
        """Look at the disk while pulls are under way, until cancelled or until it cannot be looked at."""
        while self._measure is not None:
            if not self._under_way:
                self._begun = trio.Event()
                await self._begun.wait()
            await trio.sleep(LOOK_INTERVAL)
            self._cut_if_full()
            self._decide()

    def _decide(self) -> None:
        """Give what is free to those whose size is known, in the list's order."""
        now = trio.current_time()
        for entry in sorted(self._under_way, key=lambda one: one.place):
            if entry.is_admitted or entry.refused is not None:
                continue
            if not entry.total:
                if now - entry.began < RESOLVE_GRACE:
                    return  # it comes before those behind it
                continue
            space = self._look()
            if space is None:
                return
            reserved = self._reserved()
            if entry.need <= self._usable(space) - reserved:
                entry.is_admitted = True
                continue
            what = (
                f"needs about {format_size(entry.need)} for the {format_size(entry.total - entry.done) or '0 B'} "
                f"that are still to fetch: {self._state(space, reserved)}"
            )
            is_final = entry.need > self._usable(space) and not self._is_settling
            self._refuse(entry, _no_space(what, is_final=is_final))

    def _cut_if_full(self) -> None:
        """What is under way took more than was thought, or others fill the disk: the last of the list gives way."""
        space = self._look()
        going = [entry for entry in self._under_way if entry.refused is None]
        if space is None or not going or self._usable(space) >= 0:
            return
        if trio.current_time() - self._last_cut < CUT_PAUSE:
            return
        self._last_cut = trio.current_time()
        last = max(going, key=lambda one: one.place)
        text = f"cut before the disk is full: {self._state(space, 0)}"
        self._refuse(last, _no_space(text, is_final=len(going) == 1))  # alone, it would come to the same point again

    @staticmethod
    def _refuse(entry: _UnderWay, error: RuntimeFaultError) -> None:
        entry.refused = error
        entry.scope.cancel()

    @property
    def _is_settling(self) -> bool:
        return trio.current_time() - self._last_cut < SETTLING

    def _usable(self, space: Space) -> int:
        return space.free - self._floor.of(space.total)

    def _reserved(self) -> int:
        return sum(one.need for one in self._under_way if one.is_admitted and one.refused is None)

    def _state(self, space: Space, reserved: int) -> str:
        others = f", and images under way may need {format_size(reserved)}" if reserved else ""
        free, total = format_size(space.free) or "0 B", format_size(space.total)
        return f"{free} of {total} are free, {self._floor} are to stay free (--min-free-disk){others}"

    def _look(self) -> Space | None:
        if self._measure is None:
            return None
        try:
            return self._measure()
        except OSError as error:
            self._measure = None
            if self._emit is not None:
                self._emit(Notice(message=f"--min-free-disk is not checked any more: {error}"))
            return None


def _no_space(what: str, *, is_final: bool) -> RuntimeFaultError:
    fault = Fault(kind=FaultClass.NO_SPACE, reason="no_space", retries=0 if is_final else None)
    return RuntimeFaultError(f"no space: {what}", fault=fault)
