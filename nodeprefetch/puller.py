"""One image: its credentials in turn, round after round, until it is present, has failed for good, or is cut."""

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential
from nodeprefetch.credentials.source import CredentialSource
from nodeprefetch.duration import format_duration
from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome, Reader, RetryPlanned
from nodeprefetch.imageref import ImageRef
from nodeprefetch.runtime.faults import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.runtime.gate import RuntimeGate
from nodeprefetch.runtime.inventory import Inventory
from nodeprefetch.runtime.service import ImageRecord, ImageService
from nodeprefetch.schedule import RetryPolicy, full_jitter
from nodeprefetch.settings import PullPolicy

STATUS_LIMIT = 5.0
"""Seconds that asking for size and digest may take: they are told where they are known, and not waited for."""

Jitter = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What all pulls of a run share."""

    service: ImageService
    inventory: Inventory | None
    """What the runtime holds; None where it could not say, and each image has to be asked for."""

    credentials: CredentialSource
    retry: RetryPolicy
    slots: trio.CapacityLimiter
    """A pull holds a slot during an attempt, never while it waits for its next one."""

    gate: RuntimeGate
    tell: Reader
    retry_missing: bool = False
    jitter: Jitter = random.random
    """A random number from 0 to 1."""


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
    record: ImageRecord | None = None
    """What the runtime says of the image, where it did."""

    result: ImageFinished | None = None
    _refused: set[AuthConfig] = field(default_factory=set)
    _repeats: Counter[str] = field(default_factory=Counter)

    async def run(self, around: Surroundings) -> None:
        """Until the image is present or an error says that trying again cannot help."""
        if self.policy is PullPolicy.IF_NOT_PRESENT and await self._is_present(around):
            self.outcome = Outcome.PRESENT
            return
        for limit, longest_delay in around.retry.rounds():
            while not await self._round(limit, around):
                if self._is_final(self._fault, around):
                    self.outcome = Outcome.FAILED
                    return
                if self._fault.kind is not FaultClass.RUNTIME_GONE:
                    break
                # Not the registry's doing: the same round again once the runtime is back. A runtime that goes away
                # again and again because of this pull is given longer each time.
                self.outcome = Outcome.WAITING
                await around.gate.wait()
                times = min(self._repeats[self._fault.reason], 16)
                await self._rest(min(0.1 * 2**times, longest_delay), around)
            else:
                return
            await self._rest(longest_delay, around)

    def finished(self, *, elapsed: float, cut: str = "") -> ImageFinished:
        """The final outcome, as an event. What is not final yet was cut, and has failed."""
        error, error_class, reason = "", "", ""
        if self.error is not None:
            error, error_class, reason = str(self.error), self.error.fault.kind.value, self.error.fault.reason
        if not self.outcome.is_final:
            self.outcome = Outcome.FAILED
            error = f"{cut}; the last error was: {error}" if error else cut
            error_class, reason = error_class or "cancelled", reason or "cancelled"
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
            size=self.record.size if self.record else 0,
            digest=manifest_digest(self.image, self.record),
        )
        return self.result

    async def _is_present(self, around: Surroundings) -> bool:
        if around.inventory is not None:
            self.record = around.inventory.find(self.image)
        else:
            await self._ask_status(around)
        if self.record is not None:
            self.image_id = self.record.id
        return self.record is not None

    @property
    def _fault(self) -> Fault:
        assert self.error is not None  # noqa: S101 - a round that did not succeed left its error
        return self.error.fault

    def _is_final(self, fault: Fault, around: Surroundings) -> bool:
        if fault.missing and around.retry_missing:
            return False
        if fault.kind in {FaultClass.PERMANENT, FaultClass.REFUSED}:
            return True
        self._repeats[fault.reason] += 1
        return fault.retries is not None and self._repeats[fault.reason] > fault.retries

    async def _rest(self, longest: float, around: Surroundings) -> None:
        delay = full_jitter(longest, around.jitter)
        self.outcome = Outcome.WAITING
        around.tell(RetryPlanned(image=self.image.text, delay=delay))
        await trio.sleep(delay)

    async def _round(self, limit: float, around: Surroundings) -> bool:
        """Every credential once; True when one brought the image.

        A refusal goes on to the next credential at once, and that one is not asked again. A registry may also hide
        what one may not see behind "not found", so that too goes on while there are others.
        """
        found = await around.credentials.credentials_for(self.image)
        untried: list[Credential | None] = [one for one in found if one.auth not in self._refused]
        if not found:
            untried = [None]
        missing: RuntimeFaultError | None = None
        for credential in untried:
            try:
                await self._attempt(credential, limit, around)
            except RuntimeFaultError as error:
                self.error = error
                if error.fault.kind is FaultClass.REFUSED and credential is not None:
                    self._refused.add(credential.auth)
                elif error.fault.missing:
                    missing = error
                elif error.fault.kind is not FaultClass.REFUSED:
                    return False
            else:
                return True
        if missing is not None:  # one who was let in says so; that tells more than the others' refusals
            self.error = missing
        return False

    async def _attempt(self, credential: Credential | None, limit: float, around: Surroundings) -> None:
        """One PullImage call. Raises RuntimeFaultError, also when the limit cut it."""
        async with around.slots:
            self.outcome = Outcome.PULLING
            self.attempts += 1
            attempt_id = str(uuid.uuid4())
            name = f"{credential.source} {credential.key}" if credential else ""
            started, started_at = trio.current_time(), time.time()
            around.tell(
                AttemptStarted(
                    attempt_id=attempt_id, image=self.image.text, attempt=self.attempts, limit=limit, credential=name
                )
            )

            def tell_end(*, duration: float, error: str = "", error_class: str = "", reason: str = "") -> None:
                record = self.record
                around.tell(
                    AttemptFinished(
                        attempt_id=attempt_id,
                        image=self.image.text,
                        attempt=self.attempts,
                        started_at=started_at,
                        duration=duration,
                        limit=limit,
                        credential=name,
                        error=error,
                        error_class=error_class,
                        reason=reason,
                        image_id=self.image_id,
                        size=record.size if record else 0,
                        digest=manifest_digest(self.image, record),
                    )
                )

            try:
                await self._call(credential, limit, around)
            except RuntimeFaultError as error:
                tell_end(
                    duration=trio.current_time() - started,
                    error=str(error),
                    error_class=error.fault.kind.value,
                    reason=error.fault.reason,
                )
                raise
            except trio.Cancelled:
                tell_end(
                    duration=trio.current_time() - started,
                    error="cut by the end of the run",
                    error_class="cancelled",
                    reason="cancelled",
                )
                raise
            self.error, self.outcome = None, Outcome.SUCCEEDED
            duration = trio.current_time() - started
        try:
            await self._ask_status(around)
        finally:
            tell_end(duration=duration)

    async def _call(self, credential: Credential | None, limit: float, around: Surroundings) -> None:
        try:
            with trio.fail_after(limit):
                self.image_id = await around.service.pull_image(
                    self.image.text, credential.auth if credential else None
                )
        except trio.TooSlowError as error:
            raise RuntimeFaultError(
                f"not done in {format_duration(limit)}, the limit of this attempt: cut",
                fault=Fault(kind=FaultClass.PASSING, reason="timeout"),
            ) from error

    async def _ask_status(self, around: Surroundings) -> None:
        with trio.move_on_after(STATUS_LIMIT):
            try:
                self.record = await around.service.image_status(self.image.pull_ref)
            except RuntimeFaultError:
                return  # the image is there; its size is only nice to know


def manifest_digest(image: ImageRef, record: ImageRecord | None) -> str:
    """The digest under which the runtime holds that image of that repository; empty when it does not say."""
    if record is None:
        return ""
    if image.digest is not None:
        return image.digest
    own = [digest for digest in record.repo_digests if digest.startswith(f"{image.lookup_name}@")]
    return own[0].partition("@")[2] if own else ""
