"""The registries of a run: pulls from one that throttles wait here for their turn, without a slot.

The rule is in `registry_budget`; here are the clock, the queue, and the events about it.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Self

import msgspec
import trio

from nodeprefetch.credentials.auth import AuthConfig, Credential
from nodeprefetch.emitter import Reader
from nodeprefetch.events import RegistryThrottled
from nodeprefetch.pull.registry_budget import Pacing, RegistryBudget
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose quota a pull counts against.

    Docker Hub exempts whole namespaces from its limit, so one that is used up says nothing about other namespaces.
    """

    namespace: str
    """The first part of the repository."""

    auth: AuthConfig | None
    """None: anonymous."""

    @classmethod
    def of(cls, image: ImageRef, credential: Credential | None) -> Self:
        """Return the account that a pull counts against."""
        return cls(namespace=image.path.partition("/")[0], auth=credential.auth if credential else None)

    def __str__(self) -> str:
        """For messages: no secret, and no user name."""
        return f"of {self.namespace}/… {'with this login' if self.auth else 'without a login'}"


LONGEST_PAUSE = 60.0
"""Upper limit in seconds for a pause that a registry did not ask for; `RetryPolicy.max_delay` may be lower."""


Place = object
"""A place in the queue of a registry, known by its identity."""


class Registry:
    """One registry host, as the pulls of a run share it.

    Args:
        name: the host with its port, as in the names of images.
        budget: what it allows.
        emit: receives `RegistryThrottled`.
        ends: returns when the run ends, on Trio's clock.
        jitter: returns random numbers from 0 to 1.
    """

    def __init__(
        self, name: str, budget: RegistryBudget, emit: Reader, *, ends: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._name = name
        self._budget = budget
        self._emit = emit
        self._ends = ends
        self._jitter = jitter
        self._queue: deque[Place] = deque()
        self._changed = trio.Event()
        self._throttled = 0.0
        self._refusals: dict[Account | None, RuntimeFaultError] = {}
        """What named the time for which an account, or all, have to wait."""

    @property
    def is_untouched(self) -> bool:
        """Whether it has not throttled in this run: nobody has to queue."""
        return self._budget.is_untouched

    @contextmanager
    def place(self, *, first: bool) -> Iterator[Place]:
        """Queue for the next start of a pull.

        Args:
            first: before all others that wait.
        """
        place = object()
        self._queue.insert(0 if first else len(self._queue), place)
        try:
            yield place
        finally:
            self._queue.remove(place)
            self._wake()

    async def opening(self, place: Place, account: Account) -> None:
        """Wait until a pull may start, and this one is the first in the queue. Then `start` has the last word.

        Raises:
            RuntimeFaultError: the registry, or this account's quota there, stays closed; see `check`.
        """
        while True:
            self.check(account)
            wait = self._budget.wait(trio.current_time()) if self._queue[0] is place else inf
            if wait <= 0:
                return
            with trio.move_on_after(wait):
                await self._changed.wait()

    def check(self, account: Account | None) -> None:
        """Return if it makes sense to wait for a start.

        Raises:
            RuntimeFaultError: the registry asked to wait for longer than the run lasts, which is final for the image;
                or the quota of this account is used up, and its fault says for how long.
        """
        now = trio.current_time()
        for whose in (None, account):
            until = self._budget.reopens_at(whose)
            is_final = until >= self._ends()
            if is_final or (whose is not None and until > now):
                raise self._closed(whose, until - now, is_final=is_final)

    def delay_after(self, fault: Fault) -> float | None:
        """Seconds until a pull with that fault has another chance at the earliest; None: the registry allows none."""
        now = trio.current_time()
        return max(fault.retry_after, self._budget.pause(now)) if now + fault.retry_after < self._ends() else None

    def start(self) -> int | None:
        """Begin a pull. Returns its epoch for `throttled` and `succeeded`; None: it may not start now."""
        now = trio.current_time()
        return self._budget.start(now) if self._budget.wait(now) <= 0 else None

    def end(self) -> None:
        """End a pull."""
        self._budget.end()
        self._wake()

    def succeeded(self, epoch: int) -> None:
        """Take in a success."""
        self._budget.succeeded(epoch)
        self._wake()

    def throttled(self, epoch: int, error: RuntimeFaultError, account: Account | None) -> None:
        """Take in that it throttled a pull, and emit an event if its pulls pause for longer than before."""
        whose = account if error.fault.is_of_account else None
        if error.fault.retry_after > 0:
            self._refusals[whose] = error.detached()
        seconds = self._budget.throttled(
            epoch, trio.current_time(), retry_after=error.fault.retry_after, account=whose, chance=self._jitter()
        )
        self._wake()
        if seconds > 0:
            self._throttled += seconds
            self._emit(RegistryThrottled(registry=self._name, seconds=seconds, total=self._throttled, error=str(error)))

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _closed(self, account: Account | None, seconds: float, *, is_final: bool) -> RuntimeFaultError:
        cause = self._refusals[account]
        again = datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=seconds + 60)
        whose = "" if account is None else f" {account}"
        text = (
            f"{self._name} takes no more pulls{whose} for {format_duration(round(seconds))}, longer than this run "
            f"lasts (run again after {again:%Y-%m-%d %H:%M} UTC, or use a mirror or a login with a higher limit): "
            f"{cause}"
        )
        fault = Fault(
            kind=FaultClass.PASSING,
            reason=cause.fault.reason,
            retries=0 if is_final else None,
            throttles=True,
            retry_after=seconds,
            is_of_account=account is not None,
        )
        return RuntimeFaultError(text if is_final else str(cause), fault=fault, image=cause.image)


class Registries:
    """All registries of a run.

    Args:
        emit: receives `RegistryThrottled`.
        retry: the run's delays, which are also those of a registry that throttles.
        ends: returns when the run ends, on Trio's clock.
        jitter: returns random numbers from 0 to 1.
    """

    def __init__(
        self,
        emit: Reader = lambda _event: None,
        *,
        retry: RetryPolicy | None = None,
        ends: Callable[[], float] = lambda: inf,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        retry = retry or RetryPolicy()
        longest = min(LONGEST_PAUSE, retry.max_delay)
        self._pacing = Pacing(first_pause=min(retry.initial_delay, longest), longest_pause=longest)
        self._emit = emit
        self._ends = ends
        self._jitter = jitter
        self._known: dict[str, Registry] = {}

    def of(self, image: ImageRef) -> Registry:
        """Return the registry of an image."""
        known = self._known.get(image.registry)
        if known is None:
            budget = RegistryBudget(self._pacing)
            known = Registry(image.registry, budget, self._emit, ends=self._ends, jitter=self._jitter)
            self._known[image.registry] = known
        return known
