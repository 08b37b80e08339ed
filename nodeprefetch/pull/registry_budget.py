"""When a registry that throttles may be asked again, and by how many pulls at once: the rule, without I/O or a clock.

One `RegistryBudget` serves all pulls from one registry host in a run. Its driver (Trio in a run, or a simulator on
virtual time) passes the current time in seconds, from any clock that never goes back::

    budget = RegistryBudget()
    if budget.wait(now) == 0:                   # else ask again after so many seconds, or when a pull has ended
        epoch = budget.start(now)               # one pull begins
        ...
        budget.succeeded(epoch)                 # or budget.throttled(epoch, now, ...), or neither
        budget.end()                            # always

The rule and the reasons for it are in docs/adr/0023-registry-budget.md.
"""

import math
from collections.abc import Hashable

import msgspec


class Pacing(msgspec.Struct, frozen=True, kw_only=True):
    """The constants of the rule, in seconds."""

    first_pause: float = 1.0
    """Pause after the first throttle; doubles with each further one, until a pull succeeds."""

    longest_pause: float = 60.0
    """Upper limit for a pause that the registry did not ask for, and for its jitter."""

    longest_gap: float = 15.0
    """Upper limit for the time between the starts of two pulls."""

    quiet: float = 300.0
    """Time without a throttle after which the gap between starts is halved; doubles when that was too early."""


_TURNS = 6


def resumes_first(throttles: int) -> bool:
    """Whether a pull that was throttled comes before those that wait for the same host.

    It does, as it is partly done: if pulls with more requests than the registry takes at once went on in turn, none
    would end for long. But not for ever: perhaps the registry refuses this image alone.

    Args:
        throttles: of this pull in a row.
    """
    return throttles % _TURNS > 0


class RegistryBudget:
    """What one registry host allows: nothing is limited until it throttles for the first time.

    Args:
        pacing: the constants.
    """

    def __init__(self, pacing: Pacing | None = None) -> None:
        self._pacing = pacing or Pacing()
        self._limit = math.inf
        self._running = 0
        self._epoch = 0
        self._paused_until = self._next_start = -math.inf
        self._gap = 0.0
        self._quiet = self._pacing.quiet
        self._throttled_at = -math.inf
        self._streak = 0
        self._windows: dict[Hashable, float] = {}

    @property
    def is_untouched(self) -> bool:
        """Whether the registry has never throttled."""
        return self._epoch == 0

    @property
    def limit(self) -> float:
        """How many pulls may run at once; infinite until the first throttle."""
        return self._limit

    def gap(self, now: float) -> float:
        """Seconds from the start of one pull to the next; 0 until the first throttle.

        It does not hold for what follows a throttle until a pull succeeds: the pauses do.
        """
        if self.is_untouched:
            return 0.0
        return self._gap / 2 ** ((now - self._throttled_at) // self._quiet)

    def wait(self, now: float) -> float:
        """Seconds until a pull may start; 0: now; infinite: not before a pull that runs has ended."""
        if self._running >= self._limit:
            return math.inf
        next_start = self._paused_until if self._streak else max(self._paused_until, self._next_start)
        return max(next_start - now, 0.0)

    def pause(self, now: float) -> float:
        """Seconds that the current pause lasts; 0: there is none."""
        return max(self._paused_until - now, 0.0)

    def reopens_at(self, account: Hashable = None) -> float:
        """When the registry takes requests again, by its own words: a lower bound, without pauses of ours.

        Args:
            account: whose quota is asked for; None: what holds for the whole host.
        """
        return self._windows.get(account, -math.inf)

    def start(self, now: float) -> int:
        """Begin a pull; `wait` has returned 0. Returns the epoch to report its outcome with."""
        self._running += 1
        self._next_start = now + self.gap(now)
        return self._epoch

    def end(self) -> None:
        """End a pull, whatever its outcome."""
        self._running -= 1

    def succeeded(self, epoch: int) -> None:
        """Take in that a pull of this epoch succeeded: one more may run at once.

        A pull that began before the last throttle says nothing about what the registry allows since.
        """
        if epoch == self._epoch:
            self._limit += 1
            self._streak = 0

    def throttled(
        self, epoch: int, now: float, *, retry_after: float = 0.0, account: Hashable = None, chance: float = 0.0
    ) -> float:
        """Take in that the registry throttled a pull of this epoch. Returns seconds by which the host's pause grew.

        Several pulls that run at once may meet the same throttle: only the first one counts, but the longest time that
        the registry named holds.

        Args:
            epoch: from `start`.
            now: seconds.
            retry_after: seconds that the registry asked to wait; never shortened.
            account: whose quota is used up, if not the host's: `retry_after` then holds for that account alone.
            chance: a random number from 0 to 1, for the jitter, which only ever adds.
        """
        if retry_after > 0:
            self._windows[account] = max(self._windows.get(account, -math.inf), now + retry_after)
        pause = retry_after if account is None else 0.0
        if epoch == self._epoch:
            self._slow_down(now)
            pause = max(pause, self._back_off())
        pause += chance * min(pause, self._pacing.longest_pause)
        before = max(self._paused_until, now)
        self._paused_until = max(before, now + pause)
        return self._paused_until - before

    def _slow_down(self, now: float) -> None:
        """Go one at a time. If pulls succeeded at this pace before, it was too high, not the registry away."""
        if not self._streak:
            self._gap = min(max(2 * self.gap(now), self._pacing.first_pause), self._pacing.longest_gap)
        if not self.is_untouched and now - self._throttled_at >= self._quiet:
            self._quiet *= 2  # a shorter gap was tried and failed: try less often
        self._epoch += 1
        self._limit = 1
        self._throttled_at = now

    def _back_off(self) -> float:
        self._streak += 1
        return min(self._pacing.first_pause * 2.0 ** min(self._streak - 1, 32), self._pacing.longest_pause)
