"""A pull's place among the parallel pulls of the run, and among those of its registry."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from nodeprefetch.pull.registries import Account, Registry
from nodeprefetch.runtime.errors import RuntimeFaultError


@dataclass(kw_only=True, slots=True)
class Slot:
    """A pull's place.

    Held during an attempt, and while a credential that became outdated in the queue is looked up again. Queueing again
    for each answer of a provider with short-lived credentials could keep a pull from ever starting its attempt.
    """

    limiter: trio.CapacityLimiter
    registry: Registry
    on_queue_left: Callable[[], None]
    """Called each time a slot is taken, and when the wait is for the registry: others need not wait for this pull."""

    goes_first: bool = False
    """Before other pulls that wait for the registry."""

    _epoch: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this pull has its slot."""
        return self._epoch is not None

    async def take(self, account: Account) -> None:
        """Wait for a slot, unless one is held. Where the registry throttles, wait for it first, and without a slot.

        Raises:
            RuntimeFaultError: the registry asked to wait for too long; see `Registry.check`.
        """
        if self.is_held or (self.registry.is_untouched and await self._began()):
            return
        self.on_queue_left()
        with self.registry.place(first=self.goes_first) as place:
            while True:
                await self.registry.opening(place, account)
                if await self._began():
                    return

    def succeeded(self) -> None:
        """Record a success in the registry's budget."""
        if self._epoch is not None:
            self.registry.succeeded(self._epoch)

    def failed(self, error: RuntimeFaultError, account: Account) -> None:
        """Record an error in the registry's budget if the registry throttled."""
        if self._epoch is not None and error.fault.throttles:
            self.registry.throttled(self._epoch, error, account)

    def give_back(self) -> None:
        """Pass the slot to the next pull in the queue."""
        if self._epoch is not None:
            self._epoch = None
            self.limiter.release()
            self.registry.end()

    async def _began(self) -> bool:
        """Take a slot, and give it back if the registry throttled meanwhile."""
        await self.limiter.acquire()
        self._epoch = self.registry.start()
        if self._epoch is None:
            self.limiter.release()
            return False
        self.on_queue_left()
        return True
