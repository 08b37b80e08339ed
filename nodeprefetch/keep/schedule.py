"""Decides when `keep` starts a run, and which kind. Pure: no I/O, and time is an argument.

All times are seconds of one clock that never goes back (CLOCK_MONOTONIC): whoever sets the wall clock changes nothing.
It counts from the start of the node, so a restarted `keep` finds its place again.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing is large
if TYPE_CHECKING:
    from collections.abc import Callable

CHECK = "check"
"""Pull what is missing, and ask no registry for anything else."""

REFRESH = "refresh"
"""A plain `fetch`: images with the policy Always are asked for at their registries too."""

DONE = "done"
"""All images are present."""

STALE = "stale"
"""All images are present, but a registry could not be asked whether its tags have moved."""

FAILED = "failed"
"""An image is missing."""

ALLOWED = "allowed"
"""The same, and `--allow-failures` allows it. It is tried again like any failure."""

BLIND = "blind"
"""Failed without having looked at the images: no container runtime, or killed. Retried like any failure."""

STILL_CLOSED = "still-closed"
"""Startup taints of the node could not be removed, or its condition not be set, so it takes no pods."""

STOPPED = "stopped"
"""Interrupted, as the list changed."""

BROKEN = "broken"
"""Refused the new list, so the last good one stays in force."""

FIRST_RETRY, LAST_RETRY = 60.0, 900.0
"""Seconds to the run after a failed one, and to the refresh after one that left something stale. They double from the
first to the last; jitter shortens them by up to half."""

_NEVER = float("inf")

_APART = 0.5
"""Of the time between reports: no two are closer. From then on a run that says everything anyway is the next report."""


def next_at(now: float, every: float, place: float) -> float:
    """Return the first moment after `now` at which a node is due.

    Args:
        now: seconds.
        every: the period, seconds; infinite: never.
        place: of the node in the period, from 0 up to 1.
    """
    if every == _NEVER:
        return _NEVER
    at = ((now / every - place) // 1 + 1 + place) * every
    return at if at > now else at + every


class Schedule:
    """What to run next.

    Args:
        now: seconds; a refresh is due at once.
        check_every: seconds between checks.
        refresh_every: seconds between refreshes; infinite: none.
        report_every: seconds between reports of everything, also if nothing has changed; infinite: none.
        place: of this node in all periods, from 0 up to 1.
        jitter: random numbers from 0 to 1.
        gate_at: when a run is due after a failed one, at the latest: it lets the node take pods; infinite: never.
    """

    __slots__ = (
        "_check_at",
        "_check_every",
        "_failures",
        "_gate_at",
        "_is_asked",
        "_is_report",
        "_jitter",
        "_opening_failures",
        "_place",
        "_refresh_at",
        "_refresh_every",
        "_report_at",
        "_report_every",
        "_report_from",
        "_retries_refresh",
        "_retry_at",
        "_stale_refreshes",
        "_undelivered",
        "is_settled",
        "running",
    )

    def __init__(
        self,
        now: float,
        *,
        check_every: float,
        refresh_every: float,
        report_every: float,
        place: float,
        jitter: Callable[[], float],
        gate_at: float = _NEVER,
    ) -> None:
        self._check_every = check_every
        self._refresh_every = refresh_every
        self._report_every = report_every
        self._place = place
        self._jitter = jitter
        self._check_at = next_at(now, check_every, place)
        self._refresh_at = next_at(now, refresh_every, place)
        self._report_at = self._report_from = 0.0 if report_every < _NEVER else _NEVER
        self._is_asked = True
        self._is_report = False
        self._failures = 0
        self._retry_at = 0.0
        self._retries_refresh = False
        self._stale_refreshes = 0
        self._opening_failures = 0
        self._undelivered = 0
        self._gate_at = gate_at
        self.running = ""
        """The kind of the run under way; empty: there is none."""

        self.is_settled = False
        """The last run found or brought all images, and has reported it."""

    @property
    def wake_at(self) -> float:
        """When something is due next, if nothing happens before."""
        if self.running:
            return _NEVER
        if self._is_asked:
            return 0.0
        if self._failures:
            return self._retry_at
        return min(self._check_at, self._refresh_at, self._report_at)

    def due(self, now: float) -> str:
        """Return the kind of run to start now; empty: none.

        After a failed run its retries take the place of checks, which would be retries as well.
        """
        if now < self.wake_at:
            return ""
        is_retried = self._failures > 0 and self._retries_refresh
        return REFRESH if self._is_asked or is_retried or self._refresh_at <= now else CHECK

    def begin(self, now: float, kind: str) -> bool:
        """A run starts. Returns whether it is to report everything, also if nothing has changed."""
        self.running = kind
        if kind == REFRESH:
            self._is_asked = False
        says_everything = kind == REFRESH or not self.is_settled
        self._is_report = self._report_at <= now or (says_everything and self._report_from <= now)
        if self._is_report:
            self._report_from = now + _APART * self._report_every
            self._report_at = next_at(self._report_from, self._report_every, self._place)
        return self._is_report

    def end(self, now: float, verdict: str, *, is_reported: bool = True, is_delivered: bool = True) -> None:
        """The run has ended. What came due meanwhile is dropped, except a refresh during a check.

        Args:
            now: seconds.
            verdict: how.
            is_reported: otherwise checks say everything again until one is, beginning after the same pauses as retries.
            is_delivered: otherwise there are reports after the same pauses until one is.
        """
        kind, self.running = self.running, ""
        self._check_at = next_at(now, self._check_every, self._place)
        if verdict == BROKEN:
            self._is_asked = self._is_asked or not self.is_settled  # there is something to do with the last good list
            self.ask_report()
            return
        is_present = verdict in (DONE, STALE)
        self.is_settled = is_present and is_reported
        if verdict == STOPPED:
            if self._is_report:
                self.ask_report()
            return
        if kind == REFRESH:
            self._refresh_at = next_at(now, self._refresh_every, self._place)
            self._stale_refreshes = self._stale_refreshes + 1 if verdict == STALE else 0
        if verdict == STALE:
            self._refresh_at = min(self._refresh_at, now + self._pause(self._stale_refreshes))
        if not is_delivered and self._report_every < _NEVER:
            self._undelivered += 1
            self._report_at = min(self._report_at, now + self._pause(self._undelivered))
        elif self._is_report or kind == REFRESH:
            self._undelivered = 0
        if self.is_settled:
            self._failures = 0
            return
        self._failures += 1
        self._retries_refresh = kind == REFRESH and not is_present
        # The API server's trouble, not a registry's: it has pauses of its own.
        self._opening_failures = self._opening_failures + 1 if verdict == STILL_CLOSED else 0
        self._retry_at = now + self._pause(self._opening_failures or self._failures)
        if now < self._gate_at:
            self._retry_at = min(self._retry_at, self._gate_at)
        if is_present:  # images that are removed meanwhile are noticed as ever
            self._retry_at = min(self._retry_at, self._check_at)

    def ask(self) -> None:
        """A refresh is due as soon as no run is under way: the list has changed, or somebody wants it."""
        self._is_asked = True
        self._failures = 0
        self._stale_refreshes = 0

    def ask_report(self) -> None:
        """A report is due as soon as no run is under way: there is something new to say."""
        if self._report_every < _NEVER:
            self._report_at = 0.0

    def _pause(self, failures: int) -> float:
        first = min(FIRST_RETRY, self._check_every)
        whole = min(first * 2.0 ** min(failures - 1, 64), LAST_RETRY)
        return whole * (0.5 + 0.5 * self._jitter())
