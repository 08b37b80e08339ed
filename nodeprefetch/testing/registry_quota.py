"""Quotas of the fake registry: how many requests an address may make, and how excess ones are refused."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from nodeprefetch.testing.registry_answers import Answer, error_answer
from nodeprefetch.values.duration import format_duration

DOCKER_HUB_WINDOW = 6 * 60 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """A token bucket for each client address. The class methods make those of known registries."""

    rate: float
    """Requests per second that are refilled; 0: none."""

    burst: float
    """Requests that may be made at once."""

    status: int = HTTPStatus.TOO_MANY_REQUESTS
    message: str = "too many requests"
    """Message of the error document. `{wait}` is the time until the next request is allowed, as Go writes durations."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of a refusal; `{seconds}` is that time, rounded up."""

    manifests_only: bool = False
    """Count and refuse GET requests for manifests alone, as Docker Hub does."""

    @classmethod
    def plain(cls, rate: float, burst: float) -> "Quota":
        """Refuse with a Retry-After header, which runtimes hide, and a message that says nothing."""
        return cls(rate=rate, burst=burst, headers={"Retry-After": "{seconds}"})

    @classmethod
    def github(cls, rate: float, burst: float) -> "Quota":
        """Refuse as ghcr.io does, with the time in the message."""
        return cls(rate=rate, burst=burst, message=f"retry-after: {{wait}}, allowed: {rate * 60:.0f}/minute")

    @classmethod
    def docker_hub(cls, pulls: int, *, authenticated: bool = False) -> "Quota":
        """Refuse as Docker Hub does: so many pulls in six hours."""
        whose = "" if authenticated else "unauthenticated "
        return cls(
            rate=pulls / DOCKER_HUB_WINDOW,
            burst=pulls,
            message=f"You have reached your {whose}pull rate limit. https://www.docker.com/increase-rate-limit",
            headers={
                "ratelimit-limit": f"{pulls};w={DOCKER_HUB_WINDOW}",
                "ratelimit-remaining": f"0;w={DOCKER_HUB_WINDOW}",
            },
            manifests_only=True,
        )


class Turnstile:
    """Applies a quota to each address. May be used from several threads.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.quota: Quota | None = None
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def set(self, quota: Quota | None) -> None:
        """Apply this quota from now on, with full buckets; None: no limit."""
        with self._lock:
            self.quota = quota
            self._buckets.clear()

    def refusal(self, address: str, method: str, stage: str) -> Answer | None:
        """Count a request. Returns the refusal if it exceeds the quota."""
        with self._lock:
            quota = self.quota
            if quota is None or (quota.manifests_only and (method, stage) != ("GET", "manifest")):
                return None
            now = self._clock()
            left, at = self._buckets.get(address, (quota.burst, now))
            left = min(quota.burst, left + (now - at) * quota.rate)
            if left >= 1:
                self._buckets[address] = (left - 1, now)
                return None
            self._buckets[address] = (left, now)
        wait = (1 - left) / quota.rate if quota.rate else DOCKER_HUB_WINDOW
        texts = {"wait": format_duration(round(wait, 6)), "seconds": int(wait) + 1}
        headers = {name: value.format(**texts) for name, value in quota.headers.items()}
        return error_answer(quota.status, message=quota.message.format(**texts), headers=headers)
