"""The leases of a run on containerd: with one, a pull that is cut keeps its bytes, and the next one goes on from there.

A lease is made when an image's first attempt is about to begin, so that nothing is asked for images that are present,
and is deleted once the image is there. What a run that failed leaves behind is found by the next run of the same
instance, or expires by itself.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import trio

from nodeprefetch.events import Notice, Reader
from nodeprefetch.runtime.api import ContainerdApi, ResourceKind
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, answered_within
from nodeprefetch.runtime.lease_labels import PullLease, label_value, new_lease, pull_lease
from nodeprefetch.values.image_ref import ImageRef

KEPT = 60 * 60.0
"""Seconds that a lease outlives its run.

Long enough for the next pod to find it: the kubelet starts one at most 5 min after the last has failed, and a node may
boot in between. And long enough for a few such pods to share it, before one of them needs a new one.
"""

LEAST_KEPT = 10 * 60.0
"""Seconds that a lease of an earlier run has to outlive this one, for the same reason; else a new one is made."""

LONGEST = 30 * 24 * 60 * 60.0
"""Seconds for which a lease is made at most; a run that is longer replaces it."""

ANSWER_LIMIT = 10.0
"""Seconds that an attempt waits for its lease."""

RELEASE_LIMIT = 5.0
"""Seconds for deleting an image's leases, and again for all that is left to delete at the end of a run."""

_MOST_LOST = 3
"""How often a lease of one image may vanish before it is pulled without."""

_PASSES_BY_ITSELF = {FaultClass.RUNTIME_GONE, FaultClass.NO_SPACE}
"""Faults that the pull will meet too, and that are no reason to do without leases from then on."""


class LeaseSource(Protocol):
    """Where an image's attempts have their leases from. Nothing that goes wrong with it fails an attempt."""

    async def obtain(self, image: ImageRef, lost: str = "", /) -> str:
        """ID of the lease for an image's next attempt; empty: none.

        Args:
            image: never one that another attempt is under way for.
            lost: a lease of this image that the runtime turned out not to know.
        """
        ...

    async def release(self, image: ImageRef, /) -> None:
        """Let go of what is kept for an image: it is there, or its bytes have to leave the disk."""
        ...

    async def discard(self, image: ImageRef, /) -> bool:
        """Drop what attempts have left of an image, which may be why the last one failed; once in a run.

        Returns:
            Whether something was dropped, so that the next attempt starts over and may succeed.
        """
        ...


class NoLeases:
    """Pulls are made without leases."""

    async def obtain(self, _image: ImageRef, _lost: str = "", /) -> str:
        """None."""
        return ""

    async def release(self, _image: ImageRef, /) -> None:
        """Nothing is kept."""

    async def discard(self, _image: ImageRef, /) -> bool:
        """Nothing is kept."""
        return False

    async def settle(self, _missing: Iterable[ImageRef], /) -> None:
        """Nothing is left."""


class Leases:
    """The leases of one instance's run.

    Args:
        api: where they are made.
        emit: hears, once, why pulls go on without.
        instance: whose they are.
        run: ID of this run.
        ends: Trio's time at which the run ends at the latest.
        wall: Unix seconds.
    """

    def __init__(
        self,
        api: ContainerdApi,
        emit: Reader,
        *,
        instance: str,
        run: str,
        ends: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._emit = emit
        self._instance = instance
        self._run = run
        self._ends = ends
        self._wall = wall
        self._began = wall()
        self._works = True
        self._known: dict[str, PullLease] = {}
        """By ID: what earlier runs left, and what this one made."""

        self._used: Counter[str] = Counter()
        """By ID, of those that attempts of this run have had."""

        self._lost: Counter[str] = Counter()
        self._discarded: set[str] = set()
        self._listing = trio.Lock()
        self._is_listed = False

    async def obtain(self, image: ImageRef, lost: str = "", /) -> str:
        """The longest of those that will last, also one that an earlier run has left; else a new one."""
        if lost:
            self._known.pop(lost, None)
            self._lost[image.pull_ref] += 1
        if not self._works or self._lost[image.pull_ref] >= _MOST_LOST:
            return ""
        problem = ""
        try:
            with answered_within(ANSWER_LIMIT):
                await self._list()
                lease = self._lasting(image) or await self._make(image)
                self._used[lease.id] += 1
                return lease.id
        except RuntimeFaultError as error:
            if error.fault.kind not in _PASSES_BY_ITSELF:
                problem = str(error)
        if problem and self._works:
            self._works = False
            text = f"pulls go on without leases: one that is cut begins anew and its progress is not seen: {problem}"
            self._emit(Notice(message=text))
        return ""

    async def release(self, image: ImageRef, /) -> None:
        """Delete them all. What cannot be deleted now is tried again by `settle`."""
        with suppress(RuntimeFaultError), answered_within(RELEASE_LIMIT):
            await self._delete(self._of(image))

    async def discard(self, image: ImageRef, /) -> bool:
        """Delete its leases, and abort the blobs on their way that they hold: another image's lease may hold them too.

        Of an image whose first attempt has just failed nothing is kept, unless a part of a blob has arrived: containerd
        continues an interrupted download within one pull as well.
        """
        if image.pull_ref in self._discarded:
            return False
        try:
            with answered_within(ANSWER_LIMIT):
                leases = self._of(image)
                held = [one for lease in leases for one in await self._api.lease_resources(lease.id) or ()]
                refs = {one.id for one in held if one.kind is ResourceKind.INGEST}
                is_kept = any(lease.run != self._run or self._used[lease.id] > 1 for lease in leases) or any(
                    ingest.offset for ingest in await self._api.ingests() if ingest.ref in refs
                )
                if not is_kept:
                    return False
                self._discarded.add(image.pull_ref)
                for ref in refs:
                    await self._api.abort_ingest(ref)
                await self._delete(leases)
        except RuntimeFaultError:
            return False  # the error of the pull stands
        return True

    async def settle(self, missing: Iterable[ImageRef], /) -> None:
        """At the end of the run: delete what is not wanted any more, also what earlier runs have left.

        An instance without a name is anybody's: what another run made is left alone then, until its time is over.

        Args:
            missing: images of the list that are not there. What is kept of them stays, for the next run.
        """
        wanted = {label_value(image.pull_ref) for image in missing}
        try:
            with answered_within(RELEASE_LIMIT):
                await self._list()
                await self._delete(
                    one for one in tuple(self._known.values()) if one.image not in wanted and self._may_delete(one)
                )
        except RuntimeFaultError as error:
            text = f"leases of images that are there may be left on the node, where they expire: {error}"
            self._emit(Notice(message=text, is_warning=False))

    async def _list(self) -> None:
        """Find what earlier runs of the instance have left. What comes later is another run's that is under way."""
        async with self._listing:
            if self._is_listed:
                return
            for found in await self._api.leases():
                lease = pull_lease(found)
                if lease is None or lease.instance != label_value(self._instance) or lease.created_at > self._began:
                    continue
                self._known[lease.id] = lease
            self._is_listed = True

    async def _make(self, image: ImageRef) -> PullLease:
        expires_at = self._wall() + min(self._remaining + KEPT, LONGEST)
        lease = new_lease(image.pull_ref, instance=self._instance, run=self._run, expires_at=expires_at)
        # Where there is one of that ID, another run has just made it, with the same end.
        await self._api.create_lease(lease.id, expires_at=lease.expires_at, labels=lease.labels)
        self._known[lease.id] = lease
        return lease

    async def _delete(self, leases: Iterable[PullLease]) -> None:
        for lease in leases:
            await self._api.delete_lease(lease.id)
            self._known.pop(lease.id, None)

    def _of(self, image: ImageRef) -> list[PullLease]:
        name = label_value(image.pull_ref)
        return [lease for lease in self._known.values() if lease.image == name]

    def _lasting(self, image: ImageRef) -> PullLease | None:
        needed = self._wall() + min(self._remaining + LEAST_KEPT, LONGEST / 2)
        lasting = [lease for lease in self._of(image) if lease.expires_at >= needed]
        return max(lasting, key=lambda lease: lease.expires_at, default=None)

    def _may_delete(self, lease: PullLease) -> bool:
        is_over = lease.expires_at - KEPT <= self._wall()
        return bool(self._instance) or lease.id in self._used or is_over

    @property
    def _remaining(self) -> float:
        return max(0.0, self._ends - trio.current_time())
