"""One pull attempt: a PullImage call with one credential and one timeout, and the events about it."""

import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from nodeprefetch.credentials.auth import Credential, CredentialSource
from nodeprefetch.emitter import Reader
from nodeprefetch.events import AttemptFinished, AttemptStarted, Notice, TagMoved
from nodeprefetch.pull.deadline import Deadline
from nodeprefetch.pull.digests import Digests, KnownDigest
from nodeprefetch.pull.disk import DiskGuard
from nodeprefetch.pull.leases import LeaseSource, NoLeases
from nodeprefetch.pull.pauses import PausablePull, Pauses
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.pull.registries import Account, Registries
from nodeprefetch.pull.slot import Slot
from nodeprefetch.pull.start import Start, StartAtOnce
from nodeprefetch.runtime.api import ImageRecord, ImageService, Inventory
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, answered_within
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.runtime.image_check import ImageCheck
from nodeprefetch.settings import FetchSettings
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import Timeouts

STATUS_TIMEOUT = 5.0
"""Seconds for querying the record of one image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PullContext:
    """What all pulls of a run share."""

    service: ImageService
    inventory: Inventory | None
    """Images on the node; None: the runtime could not list them, and each image is checked individually."""

    credentials: CredentialSource
    settings: FetchSettings
    slots: trio.CapacityLimiter
    """A pull holds a slot during an attempt, and not during a retry delay. See `Slot`."""

    gate: RuntimeGate
    emit: Reader
    progress: ProgressWatch
    leases: LeaseSource = field(default_factory=NoLeases)
    """Gives an attempt its lease once it has its slot."""

    image_check: ImageCheck = field(default_factory=ImageCheck)
    """Checks each image on the node; by default all pass."""

    digests: Digests = field(default_factory=Digests)
    """Finds the digest of each present image; by default by CRI alone."""

    is_unseen: bool = False
    """Progress is not visible, and nobody keeps the bytes of a cancelled pull."""

    disk: DiskGuard = field(default_factory=DiskGuard)
    """Checks for free space; by default all pass."""

    pauses: Pauses = field(default_factory=Pauses)
    """Holds attempts back; by default none."""

    start: Start | StartAtOnce = field(default_factory=StartAtOnce)
    """Awaited by each pull that needs the registry, before it looks up credentials, which may expire meanwhile."""

    registries: Registries = field(default_factory=Registries)
    """What each registry allows."""

    jitter: Callable[[], float] = random.random
    """A random number from 0 to 1."""

    async def first_record(self, image: ImageRef) -> ImageRecord | None:
        """Return an image's record from the inventory; without one, query it."""
        return await self.query_record(image) if self.inventory is None else self.inventory.find(image)

    async def query_record(self, image: ImageRef) -> ImageRecord | None:
        """Query an image's record; None: it is missing, or the query failed or timed out. Best effort."""
        with suppress(RuntimeFaultError), answered_within(STATUS_TIMEOUT):
            return await self.service.image_status(image.pull_ref)
        return None


class StaleCredentialError(Exception):
    """Raised when a credential became outdated while its attempt waited for a slot (which stays held) or was paused."""


@dataclass(kw_only=True, slots=True)
class Attempt:
    """One attempt. Call `run` once."""

    image: ImageRef
    number: int
    """1 for the first attempt of the image."""

    credential: Credential | None
    is_outdated: Callable[[Credential], bool]
    """`Lookup.is_outdated` of the look-up that returned the credential."""

    timeouts: Timeouts
    """Seconds since it got its slot; where progress is visible, seconds without movement."""

    context: PullContext
    slot: Slot
    """Given back when the attempt ends."""

    before: KnownDigest | None = None
    """The digest of the image that is on the node under this name; None: there is none."""

    image_id: str = ""
    """ID of the pulled image."""

    size: int = 0
    digest: str = ""
    """From the image's record, if it could be queried. The whole record is not kept: it may have thousands of names."""

    moved_from: str = ""
    """The digest that the tag referred to before, if it has moved."""

    _id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _started: float = 0
    _started_at: float = 0
    _ended: float | None = None
    _paused: float = 0
    _spent: float = 0
    """Seconds that count against the timeout of the next call: see `Deadline.spent`."""

    async def run(self, *, on_started: Callable[[], None], on_pulled: Callable[[], None]) -> None:
        """Wait for a slot, and pull.

        Args:
            on_started: called when it has its slot.
            on_pulled: called when the image is present; after that only its size and digest are queried.

        Raises:
            RuntimeFaultError: the pull failed or timed out; or it was not tried, as its registry asks to wait for
                too long.
            StaleCredentialError: nothing was done, and the slot is held. Never raised where nothing was waited for: the
                credential was just looked up, and is used once however short its life, as the kubelet does. Or the
                registry refused it after a pause.
        """
        has_waited = not self.slot.is_held
        account = Account.of(self.image, self.credential)
        await self.slot.take(account)
        has_waited |= await self.context.pauses.pass_gate()
        if has_waited and self._is_outdated:
            raise StaleCredentialError
        try:
            self.context.disk.check()
            on_started()
            self._emit_start()
            try:
                await self._call()
            except RuntimeFaultError as error:
                self._emit_end(str(error), error.fault.kind.value, error.fault.reason)
                self.slot.failed(error, account)
                if error.fault.kind is FaultClass.REFUSED and self._paused and self._is_outdated:
                    raise StaleCredentialError from error
                raise
            except trio.Cancelled:
                self._emit_end("cancelled because the run ended", "cancelled", "cancelled")
                raise
            self._ended = trio.current_time()
            self.slot.succeeded()
        finally:
            self.slot.give_back()
        on_pulled()
        try:
            record = await self.context.query_record(self.image)
            if record is not None:
                known = await self.context.digests.find(self.image, record, self.before)
                self.size, self.digest = record.size, known.digest
                if self.before is not None and known.has_moved_from(self.before):
                    self.moved_from = self.before.digest
        finally:
            self._emit_end()
        if self.moved_from:
            self.context.emit(TagMoved(image=self.image.text, before=self.moved_from, after=self.digest))

    async def _call(self) -> None:
        lease = await self.context.leases.obtain(self.image)
        while True:
            try:
                await self._pull(lease)
            except RuntimeFaultError as error:
                if lease and error.fault.reason == "lease_gone":  # the registry was not contacted yet
                    lease = await self.context.leases.obtain(self.image, lease)
                    continue
                if error.fault.discards_partial and await self.context.leases.discard(self.image):
                    text = f"{self.image.text}: discarded its partial download and started over: {error}"
                    self.context.emit(Notice(message=text, is_warning=False))
                    lease = await self.context.leases.obtain(self.image)
                    continue
                if error.fault.kind is FaultClass.NO_SPACE:  # the partial download would fill the disk for nothing
                    await self.context.leases.release(self.image)
                raise
            return

    async def _pull(self, lease: str) -> None:
        self._spent = 0
        pull = PausablePull(self.image.text, lease)
        with self.context.disk.guarding(self.image.text):
            try:
                await self.context.pauses.run(pull, partial(self._pull_image, lease))
            except RuntimeFaultError as error:
                explained = await self.context.image_check.explained(self.image, error)
                if explained is error:
                    raise
                raise explained from error
            finally:
                self._paused += pull.paused
        try:
            foreign = await self.context.image_check.check_pulled(self.image, self.image_id)
        except RuntimeFaultError:
            self.image_id = ""
            raise
        if foreign:
            text = f"built for {foreign}: its programs do not run on this node without emulation"
            self.context.emit(Notice(message=f"{self.image.text}: {text}"))

    async def _pull_image(self, lease: str) -> None:
        auth = self.credential.auth if self.credential else None
        deadline = Deadline(
            self.timeouts.seen,
            unpack_timeout=self.context.settings.unpack_timeout,
            unseen_timeout=self.timeouts.seen if lease else self.timeouts.unseen,
            spent=self._spent,
        )
        progress = self.context.progress.watching(self.image.text, self._id, lease, deadline)
        try:
            async with progress:
                with deadline.scope:
                    self.image_id = await self.context.service.pull_image(self.image.text, auth, lease=lease)
        except trio.Cancelled:  # paused, or the run ended
            self._spent = deadline.spent
            raise
        if deadline.scope.cancelled_caught:
            raise deadline.error()

    @property
    def _limit(self) -> float:
        return self.timeouts.unseen if self.context.is_unseen else self.timeouts.seen

    @property
    def _is_outdated(self) -> bool:
        return self.credential is not None and self.is_outdated(self.credential)

    def _emit_start(self) -> None:
        self._started, self._started_at = trio.current_time(), time.time()
        self.context.emit(
            AttemptStarted(
                attempt_id=self._id,
                image=self.image.text,
                attempt=self.number,
                limit=self._limit,
                credential=str(self.credential or ""),
                is_present=self.before is not None,
            )
        )

    def _emit_end(self, error: str = "", error_class: str = "", reason: str = "") -> None:
        ended = trio.current_time() if self._ended is None else self._ended
        self.context.emit(
            AttemptFinished(
                attempt_id=self._id,
                image=self.image.text,
                attempt=self.number,
                started_at=self._started_at,
                duration=ended - self._started,
                limit=self._limit,
                paused=self._paused,
                credential=str(self.credential or ""),
                error=error,
                error_class=error_class,
                reason=reason,
                image_id=self.image_id,
                size=self.size,
                digest=self.digest,
                moved_from=self.moved_from,
            )
        )
