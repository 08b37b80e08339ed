"""Yields to the pulls of others, such as the kubelet's: pauses ours on the same node until they are done.

containerd makes a lease for each pull that brings none, and deletes it when the pull ends. So a lease that nodeprefetch
did not create, and that holds blobs, is somebody else's pull. It is there at once, also while the pull still waits for
one of containerd's downloads.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.pull.looking import keep_looking
from nodeprefetch.pull.pauses import Pauses
from nodeprefetch.runtime.api import ContainerdApi, Ingest, Lease, Resource, ResourceKind
from nodeprefetch.runtime.lease_labels import pull_lease

REASON: Final = "other-pull"
"""In events."""

LOOK_INTERVAL = 0.5
"""Seconds between two looks at the leases, while there are pulls of ours."""

STALE_AFTER = 30.0
"""Seconds without movement after which another's pull no longer holds ours back, until it moves again.

A crashed containerd leaves leases that last a day.
"""

QUIET_LOOKS = 2
"""Looks in a row without another's pull after which ours continue: the kubelet pulls one image after the other."""

_MOST = 32
"""Leases of others whose resources are listed in one look, the newest first."""


@dataclass(kw_only=True, slots=True)
class OtherPull:
    """A lease of somebody else."""

    moved_at: float
    """When something of it last changed, on the caller's clock; first, when it was created."""

    resources: frozenset[Resource] | None = None
    offsets: Mapping[str, int] | None = None

    def update(self, resources: frozenset[Resource], ingests: Iterable[Ingest], now: float) -> None:
        """Take in what it holds, and how far the node's ingests are."""
        held = {one.id for one in resources if one.kind is ResourceKind.INGEST}
        offsets = {ingest.ref: ingest.offset for ingest in ingests if ingest.ref in held}
        if self.resources is not None and (resources, offsets) != (self.resources, self.offsets):
            self.moved_at = now
        self.resources, self.offsets = resources, offsets

    def is_pulling(self, now: float) -> bool:
        """Whether it holds blobs, unlike the lease of a container being created, and has moved lately."""
        kinds = {one.kind for one in self.resources or ()}
        return bool(kinds & {ResourceKind.INGEST, ResourceKind.CONTENT}) and now - self.moved_at < STALE_AFTER


class Yielding:
    """Pauses all pulls while somebody else pulls.

    Args:
        api: where leases are seen.
        pauses: the pulls of the run.
        emit: gets a notice if yielding is given up.
        wall: the current Unix time.
    """

    def __init__(
        self, api: ContainerdApi, pauses: Pauses, emit: Reader, *, wall: Callable[[], float] = time.time
    ) -> None:
        self._api = api
        self._pauses = pauses
        self._emit = emit
        self._wall = wall
        self._hold = pauses.hold(REASON)
        self._others: dict[str, OtherPull] = {}
        self._quiet = 0

    async def run(self) -> None:
        """Look for others' pulls while there are pulls of ours; until cancelled, or until it fails for good."""

        async def look() -> None:
            self._apply(await self._look())

        problem = await keep_looking(look, self._pauses, interval=LOOK_INTERVAL, on_missed=lambda: self._apply(0))
        self._hold.release()
        self._emit(Notice(message=f"no longer yielding to other pulls on this node: {problem}"))

    async def _look(self) -> int:
        """Count the pulls of others."""
        if not all(pull.lease for pull in self._pauses.running):
            return 0  # containerd made a lease for one of ours: it cannot be told from others'
        leases = [lease for lease in await self._api.leases() if pull_lease(lease) is None]
        leases = sorted(leases, key=lambda one: one.created_at, reverse=True)[:_MOST]
        self._others = {lease.id: self._others.get(lease.id) or self._found(lease) for lease in leases}
        if not leases:
            return 0
        ingests = await self._api.ingests()
        for lease_id, other in self._others.items():
            resources = await self._api.lease_resources(lease_id)
            other.update(frozenset(resources or ()), ingests, trio.current_time())
        return sum(other.is_pulling(trio.current_time()) for other in self._others.values())

    def _found(self, lease: Lease) -> OtherPull:
        age = max(0.0, self._wall() - lease.created_at)
        return OtherPull(moved_at=trio.current_time() - age)

    def _apply(self, pulling: int) -> None:
        self._quiet = 0 if pulling else self._quiet + 1
        if pulling:
            text = "another pull on this node" if pulling == 1 else f"{pulling} other pulls on this node"
            self._hold.apply(closed=True, paused=self._pauses.running, detail=text)
        elif self._hold.is_active and self._quiet >= QUIET_LOOKS:
            self._hold.release()
