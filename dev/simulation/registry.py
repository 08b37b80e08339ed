"""The registry of a simulation: a token bucket of requests, outages, and what it says in errors. Pure."""

import math
from collections import Counter

from simulation.scenario import Scenario

AWAY = "dial tcp 192.0.2.1:443: connect: connection refused"
BROKEN = "read tcp 192.0.2.7:40000->192.0.2.1:443: read: connection reset by peer"


class Registry:
    """Counts the requests, and says which are too many.

    Args:
        scenario: has its quota.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._rate = scenario.registry_requests
        self._burst = self._tokens = max(1.0, scenario.burst)
        self._updated = 0.0
        self.is_away = False
        self.throttled = 0
        """Requests answered with 429."""

        self.by_second: Counter[int] = Counter()
        """Requests in each second, throttled ones included."""

    @property
    def requests(self) -> int:
        """All requests."""
        return self.by_second.total()

    def request(self, count: int, now: float) -> str:
        """Take in requests that come one after another. Returns the error of the first that fails; empty if none does.

        A request that the quota does not allow is answered by 429, in the words of GHCR. It costs no quota.
        """
        second = int(now)
        if self._rate is None:
            self.by_second[second] += count
            return ""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        passed = min(count, math.floor(self._tokens + 1e-9))
        self._tokens -= passed
        if passed == count:
            self.by_second[second] += count
            return ""
        self.by_second[second] += passed + 1
        self.throttled += 1
        pause = (1 - self._tokens) / self._rate
        return (
            f"unexpected status from HEAD request: 429 Too Many Requests: toomanyrequests: "
            f"retry-after: {pause * 1e3:.6f}ms, allowed: {self._rate * 60:.0f}/minute"
        )
