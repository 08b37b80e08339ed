"""Holds pulls back for the sake of others: keeps new ones from starting, and pauses those in progress.

Whoever has a cause (another's pull, a busy disk, a limit of the rate) opens a `Hold` and says what it holds back. The
causes do not know each other: a pull goes on when none is left.

A paused pull is a cancelled PullImage call whose lease keeps the bytes. The attempt waits, and calls again with the
same lease. It keeps its slot, so that pulls continue in the order in which they began.
"""

import math
from collections.abc import Awaitable, Callable, Iterable

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Phase, PullsPaused, PullsResumed
from nodeprefetch.pull.tracker import Sight


class PausablePull:
    """One attempt, as `Pauses` sees it.

    Args:
        image: as the user wrote it.
        lease: keeps its bytes while it is paused; empty: nothing does, so it is never paused.
    """

    def __init__(self, image: str, lease: str) -> None:
        self.image = image
        self.lease = lease
        self.paused = 0.0
        """Seconds that it was paused."""

        self._causes: set[Hold] = set()
        self._call: trio.CancelScope | None = None
        self._free = trio.Event()

    def pause(self, cause: "Hold") -> None:
        """Cancel its call, and make none while there is a cause."""
        self._causes.add(cause)
        if self._call is not None:
            self._call.cancel()

    def resume(self, cause: "Hold") -> None:
        """Take a cause away."""
        self._causes.discard(cause)
        if not self._causes:
            self._free.set()

    async def run(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call until a call ends by itself: again after each pause.

        Raises:
            RuntimeFaultError: what the call raised.
        """
        while True:
            await self._wait()
            with trio.CancelScope() as self._call:
                await call()
            if not self._call.cancelled_caught:
                return

    async def _wait(self) -> None:
        while self._causes:
            began = trio.current_time()
            self._free = trio.Event()
            try:
                await self._free.wait()
            finally:
                self.paused += trio.current_time() - began


class Hold:
    """One cause for holding pulls back. Made by `Pauses.hold`."""

    def __init__(self, reason: str, pauses: "Pauses") -> None:
        self.reason = reason
        self.is_closed = False
        """Whether no new pull may start."""

        self.paused: set[PausablePull] = set()
        self._pauses = pauses
        self._since = math.nan

    @property
    def is_active(self) -> bool:
        """Whether it holds anything back."""
        return self.is_closed or bool(self.paused)

    def apply(self, *, closed: bool, paused: Iterable[PausablePull] = (), detail: str = "") -> None:
        """Say what is held back from now on, in place of what was.

        Args:
            closed: no new pull may start.
            paused: pulls to pause. One that cannot be paused, or need not be as it is unpacking, goes on.
            detail: why, for people.
        """
        was_active, opens = self.is_active, self.is_closed and not closed
        closes = closed and not self.is_closed
        wanted = set(paused)
        added = [pull for pull in wanted - self.paused if self._pauses.can_pause(pull)]
        freed = self.paused - wanted
        self.is_closed = closed
        self.paused = (self.paused - freed) | set(added)
        for pull in added:
            pull.pause(self)
        for pull in freed:
            pull.resume(self)
        if not was_active:
            self._since = trio.current_time()
        if closes or added:
            self._pauses.emit(PullsPaused(reason=self.reason, images=_images(added), detail=detail))
        if opens or freed:
            after = trio.current_time() - self._since
            self._pauses.emit(
                PullsResumed(reason=self.reason, images=_images(freed), after=after, ongoing=self.is_active)
            )
        self._pauses.changed()

    def release(self) -> None:
        """Hold nothing back any more."""
        self.apply(closed=False)


class Pauses:
    """The pulls of a run that can be held back, and the gate before new ones.

    Args:
        emit: gets `PullsPaused` and `PullsResumed`.
        sight: how far an image's pull is, as last seen.
    """

    def __init__(self, emit: Reader = lambda _: None, sight: Callable[[str], Sight] = lambda _: Sight()) -> None:
        self.emit = emit
        self.sight = sight
        self.running: list[PausablePull] = []
        """Attempts in progress, also those that are paused, in the order in which they began."""

        self._holds: list[Hold] = []
        self._waiting = 0
        self._gate, self._idle = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()

    def hold(self, reason: str) -> Hold:
        """A new cause, which holds nothing back yet."""
        hold = Hold(reason, self)
        self._holds.append(hold)
        return hold

    async def pass_gate(self) -> bool:
        """Wait while no new pull may start. Returns whether it had to wait."""
        if self._is_open:
            return False
        self._waiting += 1
        self._idle.unpark_all()
        try:
            while not self._is_open:
                await self._gate.park()
        finally:
            self._waiting -= 1
        return True

    async def run(self, pull: PausablePull, call: Callable[[], Awaitable[None]]) -> None:
        """Run a pull that may be paused.

        Args:
            pull: the attempt.
            call: makes one PullImage call; cancelled by a pause, and made again after it.
        """
        self.running.append(pull)
        self._idle.unpark_all()
        try:
            await pull.run(call)
        finally:
            self.running.remove(pull)
            for hold in self._holds:
                hold.paused.discard(pull)

    async def wait_for_pulls(self) -> None:
        """Return once there is a pull to hold back, in progress or at the gate."""
        while not self.running and not self._waiting:
            await self._idle.park()

    def can_pause(self, pull: PausablePull) -> bool:
        """Whether pausing it frees the network and loses nothing: not without a lease, and not while it unpacks."""
        sight = self.sight(pull.image)
        return bool(pull.lease) and sight.phase is not Phase.UNPACKING

    def changed(self) -> None:
        """Let pulls start that wait at the gate, if it is open now."""
        if self._is_open:
            self._gate.unpark_all()

    @property
    def _is_open(self) -> bool:
        return not any(hold.is_closed for hold in self._holds)


def _images(pulls: Iterable[PausablePull]) -> tuple[str, ...]:
    return tuple(sorted(pull.image for pull in pulls))
