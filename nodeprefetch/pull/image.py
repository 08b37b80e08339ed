"""Pulls one image: tries its credentials in turn, round after round, until the image is present or has failed."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Lookup, Verdict
from nodeprefetch.events import ON_NODE, CredentialsMatched, ImageFinished, Outcome, RetryPlanned
from nodeprefetch.pull.attempt import Attempt, PullContext, StaleCredentialError
from nodeprefetch.pull.digests import KnownDigest
from nodeprefetch.pull.registry_budget import resumes_first
from nodeprefetch.pull.slot import Slot
from nodeprefetch.runtime.api import ImageRecord
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.settings import PullPolicy
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import Timeouts, full_jitter

RETRIES_WHEN_UNSURE = 3
"""Retries after "not found" while a credential source fails: some registries answer that without a valid login."""


@dataclass(kw_only=True, slots=True)
class Pull:
    """The pull of one image. Cancelling needs no bookkeeping: `finished` reports one without an outcome as failed."""

    image: ImageRef
    policy: PullPolicy
    outcome: Outcome = Outcome.WAITING
    attempts: int = 0
    error: RuntimeFaultError | None = None
    """Of the last attempt, until one succeeds."""

    image_id: str = ""
    size: int = 0
    digest: str = ""
    """From the image's record, if it could be queried."""

    result: ImageFinished | None = None
    on_queue_left: Callable[[], None] | None = None
    """Called once, by `leave_queue`."""

    before: KnownDigest | None = None
    """The digest of the image that was on the node under this name, which is to be pulled nevertheless."""

    _keeps_present: bool = False
    """Whether that one counts if it cannot be pulled."""

    _refused: set[AuthConfig] = field(default_factory=set)
    _repeats: Counter[str] = field(default_factory=Counter)
    _throttles: int = 0
    """Rounds that the registry throttled."""

    _first_met: dict[str, float] = field(default_factory=dict)
    """Trio's time by reason, for errors that may repeat for a while."""

    _knows_all_credentials: bool = True

    @property
    def is_present(self) -> bool:
        """Whether the image is on the node."""
        return self.outcome in ON_NODE

    @property
    def can_resume_later(self) -> bool:
        """Whether its partial download is useful to the next run."""
        if not self.outcome.is_final:
            return True
        return self.error is not None and self._fault.keeps_partial

    def leave_queue(self) -> None:
        """Let the next image of the list begin: this one has its first slot, or its outcome."""
        if self.on_queue_left is not None:
            self.on_queue_left()
            self.on_queue_left = None

    async def run(self, context: PullContext) -> None:
        """Pull until the image is present, or an error is final."""
        if self.policy is PullPolicy.IF_NOT_PRESENT and await self._find(context):
            return
        if self.policy is PullPolicy.ALWAYS:
            await self._look_before(context)
        if await context.start.allowed() and self.policy is PullPolicy.IF_NOT_PRESENT and await self._find_now(context):
            return
        for timeouts, longest_delay in context.settings.rounds():
            while not await self._round(timeouts, context):
                if self._keeps_present:
                    self.outcome = Outcome.PRESENT
                    return
                if self._is_final(self._fault, context):
                    self.outcome = Outcome.FAILED
                    return
                if self._fault.throttles:
                    await self._wait_for_registry(context)
                    continue
                if self._fault.kind is not FaultClass.RUNTIME_GONE:
                    break
                # Not the registry's fault: repeat the round once the runtime is back. If it crashes because of this
                # pull, the longest pause doubles with each crash, up to the maximum delay.
                self.outcome = Outcome.WAITING
                await context.gate.wait()
                times = min(self._repeats[self._fault.reason], 16)
                await self._rest(min(0.1 * 2**times, context.settings.retry.max_delay), context)
            else:
                return
            await self._rest(longest_delay, context)

    def finished(self, *, elapsed: float, cancelled: str = "", cancel_reason: str = "cancelled") -> ImageFinished:
        """The final outcome, as an event. A pull without one was cancelled, and has failed.

        Args:
            elapsed: seconds since the run began.
            cancelled: why it was cancelled, if it was.
            cancel_reason: the `reason` for that.
        """
        error, error_class, reason = "", "", ""
        if self.error is not None:
            error, error_class, reason = str(self.error), self.error.fault.kind.value, self.error.fault.reason
        if not self.outcome.is_final:
            self.outcome = Outcome.PRESENT if self._keeps_present else Outcome.FAILED
            error = f"{cancelled}; last error: {error}" if error else cancelled
            error_class, reason = error_class or "cancelled", reason or cancel_reason
        self.result = ImageFinished(
            image=self.image.text,
            outcome=self.outcome,
            policy=self.policy,
            attempts=self.attempts,
            elapsed=elapsed,
            error=error,
            error_class=error_class,
            reason=reason,
            image_id=self.image_id,
            size=self.size,
            digest=self.digest,
        )
        return self.result

    async def _look_before(self, context: PullContext) -> None:
        record = await context.first_record(self.image)
        if record is not None:
            self.before = await context.digests.find(self.image, record)
            self._keeps_present = context.settings.keeps_present and await self._is_usable(record, context)
            if self._keeps_present:
                self.image_id, self.size, self.digest = record.id, record.size, self.before.digest

    async def _find(self, context: PullContext) -> bool:
        return await self._take_record(await context.first_record(self.image), context)

    async def _find_now(self, context: PullContext) -> bool:
        return await self._take_record(await context.query_record(self.image), context)

    async def _take_record(self, record: ImageRecord | None, context: PullContext) -> bool:
        """Give the image its outcome if there is nothing to pull. Returns whether there is nothing."""
        if record is None:
            return False
        if not await self._is_usable(record, context):
            if self.error is None or self.image.digest is None:  # an artifact's tag may have moved to an image
                return False
            self.outcome = Outcome.FAILED
            return True
        self.image_id, self.size = record.id, record.size
        self.digest = (await context.digests.find(self.image, record)).digest
        self.outcome = Outcome.PRESENT
        return True

    async def _is_usable(self, record: ImageRecord, context: PullContext) -> bool:
        """Whether an image on the node can be used. False with `error`: it never will, under this digest."""
        try:
            return await context.image_check.is_usable(self.image, record.id)
        except RuntimeFaultError as error:
            self.error = error.detached()
            return False

    @property
    def _fault(self) -> Fault:
        assert self.error is not None  # noqa: S101 - a round without success sets it
        return self.error.fault

    def _is_final(self, fault: Fault, context: PullContext) -> bool:
        if fault.missing and context.settings.retry_missing:
            return False
        self._repeats[fault.reason] += 1
        repeats = self._repeats[fault.reason]
        if (fault.kind is FaultClass.REFUSED or fault.missing) and not self._knows_all_credentials:
            # A source that gave no answer may have the credential that works.
            return fault.missing and repeats > RETRIES_WHEN_UNSURE
        if fault.kind in {FaultClass.PERMANENT, FaultClass.REFUSED}:
            return True
        if fault.patience is not None:
            began = self._first_met.setdefault(fault.reason, trio.current_time())
            return trio.current_time() - began >= fault.patience
        return fault.retries is not None and repeats > fault.retries

    async def _rest(self, longest: float, context: PullContext) -> None:
        delay = full_jitter(longest, context.jitter)
        self.outcome = Outcome.WAITING
        context.emit(RetryPlanned(image=self.image.text, delay=delay))
        await trio.sleep(delay)

    async def _wait_for_registry(self, context: PullContext) -> None:
        """Prepare to repeat a round that the registry throttled. All its pulls wait together, see `Slot`.

        Only for the quota of an account each pull waits by itself: others may have a login that works.
        """
        self._throttles += 1
        delay = context.registries.of(self.image).delay_after(self._fault)
        if delay is not None:
            self.outcome = Outcome.WAITING
            context.emit(RetryPlanned(image=self.image.text, delay=delay))
            await trio.sleep(delay if self._fault.is_of_account else 0)

    async def _round(self, timeouts: Timeouts, context: PullContext) -> bool:
        slot = Slot(
            limiter=context.slots,
            registry=context.registries.of(self.image),
            on_queue_left=self.leave_queue,
            goes_first=resumes_first(self._throttles),
        )
        try:
            while True:
                try:
                    return await self._credentials_in_turn(timeouts, context, slot)
                except StaleCredentialError:
                    continue  # outdated in the queue: look up credentials again while holding the slot
        finally:
            slot.give_back()

    async def _credentials_in_turn(self, timeouts: Timeouts, context: PullContext, slot: Slot) -> bool:
        """Try each credential once. Returns whether the image was pulled.

        After any error the next credential is tried at once, as the kubelet does: a registry may report a refusal in
        unknown words, or as "not found". Only errors that surely come from the network or the node end the round. A
        refused credential is not used again. The most hopeful error (`Fault.retry_rank`) decides about the next round.
        Without any credential there is one anonymous attempt.
        """
        verdict: RuntimeFaultError | None = None
        with self._look_up(context) as lookup:
            first = credential = await lookup.next()
            while credential is not None or first is None:
                error = await self._try(credential, lookup, timeouts, context, slot)
                if self.outcome is Outcome.SUCCEEDED:
                    return True
                if error is not None and (verdict is None or error.fault.retry_rank >= verdict.fault.retry_rank):
                    self.error = verdict = error
                if credential is None or (error is not None and error.fault.skips_credentials):
                    break
                credential = await lookup.next()
            self._knows_all_credentials = lookup.is_complete
        return False

    @contextmanager
    def _look_up(self, context: PullContext) -> Iterator[Lookup]:
        with context.credentials.look_up(self.image) as lookup:
            try:
                yield lookup
            finally:
                if context.settings.debug:
                    matched = tuple(map(str, lookup.matched))
                    context.emit(
                        CredentialsMatched(image=self.image.text, credentials=matched, complete=lookup.is_complete)
                    )

    async def _try(
        self, credential: Credential | None, lookup: Lookup, timeouts: Timeouts, context: PullContext, slot: Slot
    ) -> RuntimeFaultError | None:
        """Make one attempt. Returns its error; None also if there was nothing to try."""
        verdict = Verdict.UNDECIDED
        try:
            if credential is None or credential.auth not in self._refused:
                await self._attempt(credential, lookup, timeouts, context, slot)
                verdict = Verdict.WORKED
        except RuntimeFaultError as error:
            if error.fault.kind is FaultClass.REFUSED and credential is not None:
                verdict = Verdict.REFUSED
                self._refused.add(credential.auth)
            return error.detached()
        finally:
            if credential is not None:
                lookup.report(credential, verdict)
        return None

    async def _attempt(
        self, credential: Credential | None, lookup: Lookup, timeouts: Timeouts, context: PullContext, slot: Slot
    ) -> None:
        attempt = Attempt(
            image=self.image,
            number=self.attempts + 1,
            credential=credential,
            is_outdated=lookup.is_outdated,
            timeouts=timeouts,
            context=context,
            slot=slot,
            before=self.before,
        )

        def on_started() -> None:
            self.attempts += 1
            self.outcome = Outcome.PULLING

        def on_pulled() -> None:
            self.error, self.outcome = None, Outcome.SUCCEEDED
            self.image_id = attempt.image_id

        await attempt.run(on_started=on_started, on_pulled=on_pulled)
        self.size, self.digest = attempt.size, attempt.digest
