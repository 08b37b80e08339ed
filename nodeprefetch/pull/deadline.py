"""The clock of an attempt: cuts it after a time in which nothing moved, or, where nothing is seen, after a time."""

import math

import trio

from nodeprefetch.events import Phase
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.sizes import format_share

LOOK_INTERVAL = 1.0
"""Seconds between two looks at what pulls have brought."""

STEP = 1024 * 1024
"""Bytes in which an ingest grows, at any rate (measured: docs/adr/0018-containerds-own-api.md)."""

LAYERS_AT_ONCE = 3
"""Layers that containerd fetches at once: for one pull until version 2, on the whole node from then on."""

SLOW_BUT_FINE = 60 * 1024
"""Bytes of an image that come in a second over a line of 64 KiB/s, which is not to be taken for a stalled one."""

HASTY = 30.0
"""Seconds. Who sets a shorter limit than the default wants to be rid of slow pulls, and is taken at that word."""

_MINUTE = 60


def patience(limit: float, *, layers: int) -> float:
    """Seconds in which nothing may move, while layers are on their way.

    Between two steps of an ingest nothing is seen to move. At worst all layers that are fetched at once make their
    steps at the same moment, just after a look: then the next look is the first to see it.

    Args:
        limit: seconds, the limit of the attempt.
        layers: how many of the image are on their way.
    """
    if limit < HASTY:
        return limit
    return max(limit, min(layers, LAYERS_AT_ONCE) * STEP / SLOW_BUT_FINE + LOOK_INTERVAL)


def slowest_rate(limit: float, *, layers: int = LAYERS_AT_ONCE) -> float:
    """Bytes a second from which on an image is never cut as stalled.

    Args:
        limit: seconds, the limit of the attempt.
        layers: how many are on their way.
    """
    seen = patience(limit, layers=layers) - LOOK_INTERVAL
    return layers * STEP / seen if seen > 0 else math.inf


class AttemptClock:
    """Cancels a scope when an attempt's time is over. Starts when it is made, on the wall until `follow`.

    On the wall the limit is the scope's deadline, which goes along to the runtime with the call. A limit that moves on
    must not: the runtime would end the call at the first one. So the scope has none then, and `run` cancels it.

    Args:
        limit: seconds.
        unpack_limit: seconds without movement while nothing can come over the network.
    """

    def __init__(self, limit: float, *, unpack_limit: float) -> None:
        self._limit = limit
        self._unpack_limit = unpack_limit
        self._started = self._moved_at = trio.current_time()
        self._follows = False
        self._late = False
        self._sight = Sight()
        self._timer = trio.CancelScope()
        self._deadline = self._started + limit
        self.scope = trio.CancelScope(deadline=self._deadline)

    def follow(self) -> None:
        """From now on time without movement counts, which needs `run`. For use before the scope's block."""
        self._follows = True
        self.scope.deadline = math.inf
        self._timer.deadline = self._deadline

    async def run(self) -> None:
        """Cancel the scope when nothing has moved for too long. Returns then, or after `stop` or `lose_sight`."""
        with self._timer:
            await trio.sleep_forever()
        if self._follows:
            self.scope.cancel()

    def stop(self) -> None:
        """The attempt has ended."""
        self._timer.cancel()

    def saw(self, sight: Sight, *, moved: bool) -> None:
        """That is how far the pull is, and whether it moved since it was last seen."""
        self._sight = sight
        if moved:
            self._moved_at = trio.current_time()
        if self._follows:
            self._timer.deadline = self._deadline = self._moved_at + self._patience

    def lose_time(self, seconds: float) -> None:
        """Nobody could see for so long whether it moved: that time does not count."""
        if self._follows:
            self._moved_at += seconds
            self._deadline += seconds

    def hold(self, seconds: float) -> None:
        """Somebody is looking: what they will see counts, unless it takes them longer than that."""
        self._timer.deadline = max(self._deadline, trio.current_time() + seconds)

    def release(self) -> None:
        """Nobody is looking any more."""
        self._timer.deadline = self._deadline

    def lose_sight(self) -> None:
        """Nothing is seen any more: the limit is on the wall, and begins anew where it would be over already."""
        if not self._follows:
            return
        self._follows = False
        now = trio.current_time()
        wall = self._started + self._limit
        self._late = wall <= now
        self.scope.deadline = now + self._limit if self._late else wall
        self._timer.cancel()

    def cut(self) -> RuntimeFaultError:
        """Why the attempt was cut, once it was."""
        if self._follows:
            return RuntimeFaultError(self._stalled(), fault=Fault(kind=FaultClass.PASSING, reason="stalled"))
        text = f"not done in {format_duration(self._limit)}, the limit of this attempt: cut"
        if self._late:
            text = f"not done in {format_duration(self._limit)} after its progress was last seen: cut"
        return RuntimeFaultError(text, fault=Fault(kind=FaultClass.PASSING, reason="timeout"))

    @property
    def _patience(self) -> float:
        if self._sight.may_fetch:
            return patience(self._limit, layers=self._sight.active)
        return max(self._limit, self._unpack_limit)

    def _stalled(self) -> str:
        sight, time = self._sight, _spoken(self._patience)
        if sight.phase is Phase.UNPACKING:
            return f"no layer unpacked for {time}: cut"
        if sight.total or sight.done:
            return f"stalled at {format_share(sight.done, sight.total)} for {time}: cut"
        return f"nothing came for {time} while resolving: cut"


def _spoken(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < _MINUTE else format_duration(seconds)
