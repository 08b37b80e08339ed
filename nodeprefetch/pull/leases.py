"""The leases of a run on containerd, which keep partial downloads so that the next attempt resumes them.

A lease is created just before an image's first attempt, so that present images cost no call, and deleted once the image
is on the node. Leases that a failed run leaves are found by the next run of the same instance, or expire.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.runtime.api import ContainerdApi, ResourceKind
from nodeprefetch.runtime.connect import Runtime
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, answered_within
from nodeprefetch.runtime.lease_labels import PullLease, encode_name, new_lease, pull_lease
from nodeprefetch.settings import FetchSettings
from nodeprefetch.values.image_ref import ImageRef

KEEP_AFTER_RUN = 60 * 60.0
"""Seconds that a lease outlives its run.

Long enough for the next pod to find it: the kubelet restarts a failed pod within 5 min, and a node may boot in between.
And long enough for a few such pods to share it, before one of them needs a new one.
"""

MIN_AFTER_RUN = 10 * 60.0
"""Seconds that a lease of an earlier run must outlive this one, for the same reason; otherwise a new one is created."""

MAX_LIFETIME = 30 * 24 * 60 * 60.0
"""Seconds. A longer run replaces its leases."""

ANSWER_TIMEOUT = 10.0
"""Seconds that an attempt waits for its lease."""

RELEASE_TIMEOUT = 5.0
"""Seconds for deleting an image's leases, and again for all that is left to delete at the end of a run."""

_MAX_LOST = 3
"""How often the lease of one image may vanish before it is pulled without one."""

_ALSO_FAILS_PULLS = {FaultClass.RUNTIME_GONE, FaultClass.NO_SPACE}
"""Errors that the pull meets too, so that they are no reason to continue without leases."""


class LeaseSource(Protocol):
    """Gives attempts their leases. Its errors never fail an attempt."""

    async def obtain(self, image: ImageRef, lost: str = "", /) -> str:
        """Get the ID of a lease for an image's next attempt; empty: none.

        Args:
            image: one without another attempt in progress.
            lost: a lease of this image that the runtime does not have any more.
        """
        ...

    async def release(self, image: ImageRef, /) -> None:
        """Delete an image's leases: it is on the node, or its partial download must leave the disk."""
        ...

    async def discard(self, image: ImageRef, /) -> bool:
        """Discard an image's partial download, which may be why the last attempt failed; once per image and run.

        Returns:
            Whether something was discarded, so that the next attempt starts over and may succeed.
        """
        ...


class NoLeases:
    """A lease source for pulls without leases."""

    async def obtain(self, _image: ImageRef, _lost: str = "", /) -> str:
        """Return no lease."""
        return ""

    async def release(self, _image: ImageRef, /) -> None:
        """Do nothing."""

    async def discard(self, _image: ImageRef, /) -> bool:
        """Return that nothing was discarded."""
        return False

    async def settle(self, _missing: Iterable[ImageRef], /) -> None:
        """Do nothing."""


class Leases:
    """The leases of one run of an instance.

    Args:
        api: creates them.
        emit: gets one notice if pulls continue without leases.
        instance: their owner.
        run: ID of this run.
        ends: returns the latest end of the run, in Trio's time.
        wall: the current Unix time.
    """

    def __init__(
        self,
        api: ContainerdApi,
        emit: Reader,
        *,
        instance: str,
        run: str,
        ends: Callable[[], float],
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
        """By ID: left by earlier runs, or created by this one."""

        self._used: Counter[str] = Counter()
        """How many attempts of this run used each, by ID."""

        self._lost: Counter[str] = Counter()
        self._discarded: set[str] = set()
        self._listing = trio.Lock()
        self._is_listed = False

    async def obtain(self, image: ImageRef, lost: str = "", /) -> str:
        """The lease that lasts longest, also one left by an earlier run; a new one if none lasts long enough."""
        if lost:
            self._known.pop(lost, None)
            self._lost[image.pull_ref] += 1
        if not self._works or self._lost[image.pull_ref] >= _MAX_LOST:
            return ""
        problem = ""
        try:
            with answered_within(ANSWER_TIMEOUT):
                await self._list()
                lease = self._lasting(image) or await self._make(image)
                self._used[lease.id] += 1
                return lease.id
        except RuntimeFaultError as error:
            if error.fault.kind not in _ALSO_FAILS_PULLS:
                problem = str(error)
        if problem and self._works:
            self._works = False
            text = f"continuing without leases: interrupted pulls will start over and report no progress: {problem}"
            self._emit(Notice(message=text))
        return ""

    async def release(self, image: ImageRef, /) -> None:
        """Delete all leases of an image. `settle` retries after an error."""
        with suppress(RuntimeFaultError), answered_within(RELEASE_TIMEOUT):
            await self._delete(self._of(image))

    async def discard(self, image: ImageRef, /) -> bool:
        """Delete its leases, and abort their ingests, which another image's lease may hold too.

        After an image's first attempt there is nothing to discard, unless part of a blob arrived: containerd resumes an
        interrupted download within one pull too.
        """
        if image.pull_ref in self._discarded:
            return False
        try:
            with answered_within(ANSWER_TIMEOUT):
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
        """Delete leases that are not needed any more at the end of the run, also those of earlier runs.

        Without an instance name, leases of another run stay until its time is over: it may be another installation's.

        Args:
            missing: listed images that are missing. Their partial downloads stay, for the next run.
        """
        wanted = {encode_name(image.pull_ref) for image in missing}
        try:
            with answered_within(RELEASE_TIMEOUT):
                await self._list()
                await self._delete(
                    one for one in tuple(self._known.values()) if one.image not in wanted and self._may_delete(one)
                )
        except RuntimeFaultError as error:
            text = f"could not delete some leases; they will expire: {error}"
            self._emit(Notice(message=text, is_warning=False))

    async def _list(self) -> None:
        """Find the leases of earlier runs of the instance. Newer ones belong to another run in progress."""
        async with self._listing:
            if self._is_listed:
                return
            for found in await self._api.leases():
                lease = pull_lease(found)
                if lease is None or lease.instance != encode_name(self._instance) or lease.created_at > self._began:
                    continue
                self._known[lease.id] = lease
            self._is_listed = True

    async def _make(self, image: ImageRef) -> PullLease:
        expires_at = self._wall() + min(self._remaining + KEEP_AFTER_RUN, MAX_LIFETIME)
        lease = new_lease(image.pull_ref, instance=self._instance, run=self._run, expires_at=expires_at)
        # If the ID exists, another run has just created that lease, with the same end.
        await self._api.create_lease(lease.id, expires_at=lease.expires_at, labels=lease.labels)
        self._known[lease.id] = lease
        return lease

    async def _delete(self, leases: Iterable[PullLease]) -> None:
        for lease in leases:
            await self._api.delete_lease(lease.id)
            self._known.pop(lease.id, None)

    def _of(self, image: ImageRef) -> list[PullLease]:
        name = encode_name(image.pull_ref)
        return [lease for lease in self._known.values() if lease.image == name]

    def _lasting(self, image: ImageRef) -> PullLease | None:
        needed = self._wall() + min(self._remaining + MIN_AFTER_RUN, MAX_LIFETIME / 2)
        lasting = [lease for lease in self._of(image) if lease.expires_at >= needed]
        return max(lasting, key=lambda lease: lease.expires_at, default=None)

    def _may_delete(self, lease: PullLease) -> bool:
        is_over = lease.expires_at - KEEP_AFTER_RUN <= self._wall()
        return bool(self._instance) or lease.id in self._used or is_over

    @property
    def _remaining(self) -> float:
        return max(0.0, self._ends() - trio.current_time())


def open_leases(
    runtime: Runtime, settings: FetchSettings, emit: Reader, *, run: str, ends: Callable[[], float]
) -> Leases | NoLeases:
    """Return the leases of a run, with a notice where the runtime has none.

    Args:
        runtime: where images are pulled.
        settings: of the run.
        emit: gets notices.
        run: ID of the run.
        ends: returns the latest end of the run, in Trio's time.
    """
    if not settings.resume:
        return NoLeases()
    if runtime.containerd is None:
        if runtime.version.name != "containerd":  # otherwise the error of its API was reported already
            what = "resuming pulls" if runtime.version.is_crio else "resuming pulls or progress reporting"
            emit(Notice(message=f"{runtime.version.name} does not support {what}", is_warning=False))
        return NoLeases()
    return Leases(runtime.containerd, emit, instance=settings.instance, run=run, ends=ends)
