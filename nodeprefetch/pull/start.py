"""When the first pull of a run may start, so that not all nodes of a cluster pull at once."""

import math
from typing import TYPE_CHECKING, Protocol

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import StartAllowed, StartDelayed

if TYPE_CHECKING:
    from nodeprefetch.tickets.client import StartDelay

FIRST_INTERVAL = 60.0
LONGEST_INTERVAL = 600.0
"""Seconds between two events about the same kind of delay; the interval doubles."""


class StartPermit(Protocol):
    """Decides when a node may pull, such as a ticket. Its errors are its own: they never reach the run."""

    async def obtain(self, run_id: str, /) -> bool:
        """Wait until the node may pull. Returns whether it has a ticket."""
        ...

    async def keep(self) -> None:
        """Renew the permit until cancelled, or return if it needs no renewal."""
        ...

    async def give_back(self, run_id: str, /, *, is_warm: bool) -> None:
        """End it, also if it was never obtained. Not cancelled, but soon over.

        Args:
            run_id: of this run.
            is_warm: all images of the list are on the node.
        """
        ...


class StartAtOnce:
    """The start of a run's pulls where nobody else must be considered."""

    async def allowed(self) -> bool:
        """Return at once."""
        return False

    async def run(self) -> None:
        """Do nothing."""

    async def end(self, *, is_warm: bool) -> None:
        """Do nothing."""


class Start:
    """The start of a run's pulls. The first pull that needs the registry asks for the permit, for all of them.

    The time until the permit is there does not count toward the overall timeout.

    Args:
        permit: obtained, kept and given back.
        work: scope with the overall timeout as its deadline.
        run_id: of this run.
        emit: gets `StartAllowed` after a delay.
    """

    def __init__(self, permit: StartPermit, *, work: trio.CancelScope, run_id: str, emit: Reader) -> None:
        self._permit = permit
        self._work = work
        self._run_id = run_id
        self._emit = emit
        self._scope = trio.CancelScope()
        self._wanted = trio.Event()
        self._allowed = trio.Event()

    async def allowed(self) -> bool:
        """Wait until pulls may start. Returns whether that took time, in which the node may have changed."""
        if self._allowed.is_set():
            return False
        began = trio.current_time()
        self._wanted.set()
        await self._allowed.wait()
        return trio.current_time() > began

    async def run(self) -> None:
        """Obtain the permit when a pull asks for it, and keep it until `end`."""
        with self._scope:
            await self._wanted.wait()
            began = trio.current_time()
            left, self._work.deadline = self._work.deadline - began, math.inf
            has_ticket = await self._permit.obtain(self._run_id)
            now = trio.current_time()
            self._work.deadline = now + left
            if now > began:
                self._emit(StartAllowed(after=now - began, has_ticket=has_ticket))
            self._allowed.set()
            await self._permit.keep()

    async def end(self, *, is_warm: bool) -> None:
        """Give the permit back, or stop waiting for it.

        Args:
            is_warm: all images of the list are on the node.
        """
        self._scope.cancel()
        await self._permit.give_back(self._run_id, is_warm=is_warm)


class DelayReport:
    """Reports a run's delay as events, few enough for thousands of nodes that wait for hours.

    Args:
        emit: gets `StartDelayed`.
    """

    def __init__(self, emit: Reader) -> None:
        self._emit = emit
        self._due: dict[bool, float] = {}
        self._intervals: dict[bool, float] = {}

    def __call__(self, delay: "StartDelay") -> None:
        """Emit an event, unless there was one about such a delay a short time ago."""
        now, kind = trio.current_time(), delay.reply is not None
        if now < self._due.get(kind, now):
            return
        interval = self._intervals.get(kind, FIRST_INTERVAL)
        self._due[kind] = now + interval
        self._intervals[kind] = min(2 * interval, LONGEST_INTERVAL)
        self._emit(_event(delay))


def _event(delay: "StartDelay") -> StartDelayed:
    reply = delay.reply
    if reply is None:
        return StartDelayed(starts_in=delay.starts_in, error=delay.problem)
    return StartDelayed(ahead=reply.position, pulling=reply.pulling, limit=reply.limit or 0)
