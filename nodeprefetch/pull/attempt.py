"""One pull attempt: a PullImage call with one credential under one limit, and what is told about it."""

import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import Credential, CredentialSource
from nodeprefetch.events import AttemptFinished, AttemptStarted, Notice, Reader
from nodeprefetch.pull.deadline import AttemptClock
from nodeprefetch.pull.disk import DiskGuard
from nodeprefetch.pull.leases import LeaseSource, NoLeases
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.api import ImageRecord, ImageService, Inventory
from nodeprefetch.runtime.artifacts import ArtifactCheck
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, answered_within
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.settings import FetchSettings
from nodeprefetch.values.image_ref import ImageRef

STATUS_LIMIT = 5.0
"""Seconds that asking for one image may take: what is said is used where it is known, and not waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PullContext:
    """What all pulls of a run share."""

    service: ImageService
    inventory: Inventory | None
    """What the runtime holds; None where it could not say, and each image has to be asked for."""

    credentials: CredentialSource
    settings: FetchSettings
    slots: trio.CapacityLimiter
    """A pull holds a slot during an attempt, never while it waits for its next one. See `Slot`."""

    gate: RuntimeGate
    emit: Reader
    progress: ProgressWatch
    leases: LeaseSource = field(default_factory=NoLeases)
    """Asked when an attempt has its slot."""

    artifacts: ArtifactCheck = field(default_factory=ArtifactCheck)
    """Asked about each image that is there; by default it lets all pass."""

    disk: DiskGuard = field(default_factory=DiskGuard)
    """Asked before each attempt; by default it lets all pass."""

    jitter: Callable[[], float] = random.random
    """A random number from 0 to 1."""

    async def ask_status(self, image: ImageRef) -> ImageRecord | None:
        """What the runtime says of an image; None where it does not hold it, or does not say so in time."""
        with suppress(RuntimeFaultError), answered_within(STATUS_LIMIT):
            return await self.service.image_status(image.pull_ref)
        return None


class StaleCredentialError(Exception):
    """Raised when a credential expired before its attempt had a slot. The slot stays held for the next attempt."""


@dataclass(kw_only=True, slots=True)
class Slot:
    """A pull's place among those that pull at the same moment.

    Held during an attempt, and while the credential that expired in the queue is looked up again: a pull that had to
    queue anew for each answer of a provider with short-lived credentials might never get to its attempt.
    """

    limiter: trio.CapacityLimiter
    taken: Callable[[], None]
    """Called each time when there is a slot."""

    is_held: bool = False

    async def take(self) -> None:
        """Wait for a slot, unless it is held."""
        if not self.is_held:
            await self.limiter.acquire()
            self.is_held = True
            self.taken()

    def give_back(self) -> None:
        """Let the next one in the queue have it."""
        if self.is_held:
            self.limiter.release()
            self.is_held = False


@dataclass(kw_only=True, slots=True)
class Attempt:
    """One attempt. `run` may be called once."""

    image: ImageRef
    number: int
    """1 for the image's first."""

    credential: Credential | None
    limit: float
    """Seconds from when it has its slot; where its progress is seen, seconds without any movement."""

    context: PullContext
    slot: Slot
    """Given back when the attempt ends."""

    image_id: str = ""
    """Of the image pulled."""

    size: int = 0
    digest: str = ""
    """What the runtime says of that image, where it did. Not all of its record: that may have thousands of names."""

    _id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _started: float = 0
    _started_at: float = 0
    _ended: float | None = None

    async def run(self, *, begun: Callable[[], None], pulled: Callable[[], None]) -> None:
        """Wait for a slot, and pull.

        Args:
            begun: called when it has its slot.
            pulled: called when the image is there; after that only its size and digest are asked for.

        Raises:
            RuntimeFaultError: the runtime said no, or the limit cut it.
            StaleCredentialError: nothing was done, and the slot is held. Never raised where it was held before: the
                credential has just been looked up, and is used once however short its life, as the kubelet does.
        """
        has_queued = not self.slot.is_held
        await self.slot.take()
        if has_queued and self.credential is not None and trio.current_time() >= self.credential.valid_until:
            raise StaleCredentialError
        try:
            self.context.disk.check()
            begun()
            self._tell_start()
            try:
                await self._call()
            except RuntimeFaultError as error:
                self._tell_end(str(error), error.fault.kind.value, error.fault.reason)
                raise
            except trio.Cancelled:
                self._tell_end("cut by the end of the run", "cancelled", "cancelled")
                raise
            self._ended = trio.current_time()
        finally:
            self.slot.give_back()
        pulled()
        try:
            record = await self.context.ask_status(self.image)
            if record is not None:
                self.size, self.digest = record.size, manifest_digest(self.image, record)
        finally:
            self._tell_end()

    async def _call(self) -> None:
        lease = await self.context.leases.obtain(self.image)
        while True:
            try:
                await self._pull(lease)
            except RuntimeFaultError as error:
                if lease and error.fault.reason == "lease_gone":  # nothing was asked of the registry yet
                    lease = await self.context.leases.obtain(self.image, lease)
                    continue
                if error.fault.doubts_kept and await self.context.leases.discard(self.image):
                    text = f"{self.image.text}: discarded its partial download and started over: {error}"
                    self.context.emit(Notice(message=text, is_warning=False))
                    lease = await self.context.leases.obtain(self.image)
                    continue
                if error.fault.kind is FaultClass.NO_SPACE:  # what is kept would fill the disk for nothing
                    await self.context.leases.release(self.image)
                raise
            return

    async def _pull(self, lease: str) -> None:
        auth = self.credential.auth if self.credential else None
        clock = AttemptClock(self.limit, unpack_limit=self.context.settings.unpack_timeout)
        progress = self.context.progress.watching(self.image.text, self._id, lease, clock)
        with self.context.disk.guarding(self.image.text), clock.scope, progress:
            self.image_id = await self.context.service.pull_image(self.image.text, auth, lease=lease)
        if clock.scope.cancelled_caught:
            raise clock.cut()
        await self.context.artifacts.pass_image(self.image.text, self.image_id)

    def _tell_start(self) -> None:
        self._started, self._started_at = trio.current_time(), time.time()
        self.context.emit(
            AttemptStarted(
                attempt_id=self._id,
                image=self.image.text,
                attempt=self.number,
                limit=self.limit,
                credential=str(self.credential or ""),
            )
        )

    def _tell_end(self, error: str = "", error_class: str = "", reason: str = "") -> None:
        ended = trio.current_time() if self._ended is None else self._ended
        self.context.emit(
            AttemptFinished(
                attempt_id=self._id,
                image=self.image.text,
                attempt=self.number,
                started_at=self._started_at,
                duration=ended - self._started,
                limit=self.limit,
                credential=str(self.credential or ""),
                error=error,
                error_class=error_class,
                reason=reason,
                image_id=self.image_id,
                size=self.size,
                digest=self.digest,
            )
        )


def manifest_digest(image: ImageRef, record: ImageRecord) -> str:
    """The digest under which the runtime holds that image of that repository; empty when it does not say."""
    if image.digest is not None:
        return image.digest
    own = [digest for digest in record.repo_digests if digest.startswith(f"{image.lookup_name}@")]
    return own[0].partition("@")[2] if own else ""
