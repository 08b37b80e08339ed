"""One image: its credentials in turn, round after round, until it is present, has failed for good, or is cut."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential, Lookup, Verdict
from nodeprefetch.events import CredentialsMatched, ImageFinished, Outcome, RetryPlanned
from nodeprefetch.pull.attempt import Attempt, PullContext, Slot, StaleCredentialError, manifest_digest
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.settings import PullPolicy
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import full_jitter

RETRIES_WHEN_UNSURE = 3
"""How often "not found" is doubted while a source of credentials fails: some registries say it to strangers."""


@dataclass(kw_only=True, slots=True)
class Pull:
    """One image on its way. A cancelled one stays what it was, so that nobody has to keep books of it."""

    image: ImageRef
    policy: PullPolicy
    outcome: Outcome = Outcome.WAITING
    attempts: int = 0
    error: RuntimeFaultError | None = None
    """The last attempt's, until one succeeds."""

    image_id: str = ""
    size: int = 0
    digest: str = ""
    """What the runtime says of the image, where it did."""

    result: ImageFinished | None = None
    next_may_begin: Callable[[], None] | None = None
    """Called once, by `leave_queue`."""

    _refused: set[AuthConfig] = field(default_factory=set)
    _repeats: Counter[str] = field(default_factory=Counter)
    _first_met: dict[str, float] = field(default_factory=dict)
    """Reason to Trio's time, of those that may repeat for a while."""

    _knows_all_credentials: bool = True

    @property
    def is_there(self) -> bool:
        """The runtime holds the image."""
        return self.outcome in {Outcome.SUCCEEDED, Outcome.PRESENT}

    @property
    def may_go_on_later(self) -> bool:
        """What is kept of it is of use to the next run."""
        return not self.is_there and (self.outcome is not Outcome.FAILED or self._fault.may_continue_later)

    def leave_queue(self) -> None:
        """It has its first slot, or its outcome: the next one of the list may begin."""
        if self.next_may_begin is not None:
            self.next_may_begin()
            self.next_may_begin = None

    async def run(self, context: PullContext) -> None:
        """Until the image is present or an error says that trying again cannot help."""
        if self.policy is PullPolicy.IF_NOT_PRESENT and await self._is_present(context):
            try:
                await context.artifacts.pass_image(self.image.text, self.image_id)
            except RuntimeFaultError as error:
                self.error, self.outcome = error.detached(), Outcome.FAILED
            else:
                self.outcome = Outcome.PRESENT
            return
        for limit, longest_delay in context.settings.retry.rounds():
            while not await self._round(limit, context):
                if self._is_final(self._fault, context):
                    self.outcome = Outcome.FAILED
                    return
                if self._fault.kind is not FaultClass.RUNTIME_GONE:
                    break
                # Not the registry's doing: the same round again once the runtime is back. A runtime that goes away
                # again and again because of this pull is given longer each time, whatever the round's own delay is.
                self.outcome = Outcome.WAITING
                await context.gate.wait()
                times = min(self._repeats[self._fault.reason], 16)
                await self._rest(min(0.1 * 2**times, context.settings.retry.max_delay), context)
            else:
                return
            await self._rest(longest_delay, context)

    def finished(self, *, elapsed: float, cut: str = "", reason_of_cut: str = "cancelled") -> ImageFinished:
        """The final outcome, as an event. What is not final yet was cut, and has failed."""
        error, error_class, reason = "", "", ""
        if self.error is not None:
            error, error_class, reason = str(self.error), self.error.fault.kind.value, self.error.fault.reason
        if not self.outcome.is_final:
            self.outcome = Outcome.FAILED
            error = f"{cut}; the last error was: {error}" if error else cut
            error_class, reason = error_class or "cancelled", reason or reason_of_cut
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

    async def _is_present(self, context: PullContext) -> bool:
        if context.inventory is not None:
            record = context.inventory.find(self.image)
        else:
            record = await context.ask_status(self.image)  # where that fails, the pull will say what is wrong
        if record is None:
            return False
        self.image_id, self.size, self.digest = record.id, record.size, manifest_digest(self.image, record)
        return True

    @property
    def _fault(self) -> Fault:
        assert self.error is not None  # noqa: S101 - a round that did not succeed left its error
        return self.error.fault

    def _is_final(self, fault: Fault, context: PullContext) -> bool:
        if fault.missing and context.settings.retry_missing:
            return False
        self._repeats[fault.reason] += 1
        repeats = self._repeats[fault.reason]
        if (fault.kind is FaultClass.REFUSED or fault.missing) and not self._knows_all_credentials:
            # A source that gave no answer may know the credential that is let in.
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

    async def _round(self, limit: float, context: PullContext) -> bool:
        slot = Slot(limiter=context.slots, taken=self.leave_queue)
        try:
            while True:
                try:
                    return await self._credentials_in_turn(limit, context, slot)
                except StaleCredentialError:
                    continue  # it waited too long for its slot: credentials are looked up anew while it holds it
        finally:
            slot.give_back()

    async def _credentials_in_turn(self, limit: float, context: PullContext, slot: Slot) -> bool:
        """Every credential once; True when one brought the image.

        Whatever error a credential meets, the next one is tried at once, as the kubelet does: a registry may report a
        refusal in words that nobody knows, or as "not found". Only what is surely the network's or the node's stops the
        round. A refused credential is not used again. The error that promises most decides about the next round.
        Without any credential there is one anonymous attempt.
        """
        verdict: RuntimeFaultError | None = None
        with self._look_up(context) as lookup:
            first = credential = await lookup.next()
            while credential is not None or first is None:
                error = await self._try(credential, lookup, limit, context, slot)
                if self.outcome is Outcome.SUCCEEDED:
                    return True
                if error is not None and (verdict is None or error.fault.hope >= verdict.fault.hope):
                    self.error = verdict = error
                if credential is None or (error is not None and error.fault.spares_credentials):
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
        self, credential: Credential | None, lookup: Lookup, limit: float, context: PullContext, slot: Slot
    ) -> RuntimeFaultError | None:
        """One attempt. What went wrong; None also where there was nothing to try."""
        verdict = Verdict.UNDECIDED
        try:
            if credential is None or credential.auth not in self._refused:
                await self._attempt(credential, limit, context, slot)
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

    async def _attempt(self, credential: Credential | None, limit: float, context: PullContext, slot: Slot) -> None:
        attempt = Attempt(
            image=self.image,
            number=self.attempts + 1,
            credential=credential,
            limit=limit,
            context=context,
            slot=slot,
        )

        def begun() -> None:
            self.attempts += 1
            self.outcome = Outcome.PULLING

        def pulled() -> None:
            self.error, self.outcome = None, Outcome.SUCCEEDED
            self.image_id = attempt.image_id

        await attempt.run(begun=begun, pulled=pulled)
        self.size, self.digest = attempt.size, attempt.digest
