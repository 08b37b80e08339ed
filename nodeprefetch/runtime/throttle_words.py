"""What a registry says about when to come back, in the message of an error that throttles.

CRI passes texts only, so headers such as `Retry-After` are lost. These texts are from the registries' own messages:

- GitHub: `retry-after: 880.092µs, allowed: 44000/minute` (the quota is a fill rate, and says nothing about when).
- Docker Hub: `You have reached your pull rate limit`, since 2025 `your unauthenticated pull rate limit`.
- proxies and self-hosted registries: `Retry-After: 30`, `try again in 30 seconds`, `retry after 5m`.

Amazon ECR (`Rate exceeded`), Google (`Quota exceeded for quota metric …`), Azure and Quay name no time.
"""

import re

import msgspec

from nodeprefetch.runtime.faults import Fault
from nodeprefetch.values.duration import DurationError, parse_duration

DOCKER_HUB_WINDOW = 6 * 60 * 60.0
"""Seconds in which Docker Hub counts the pulls of an address or a login."""

LONGEST_WAIT = 30 * 24 * 60 * 60.0
"""Seconds. A message that names more is not taken at its word: it may be a mistake, and no run is that long."""

_LONGEST = 2000
"""Characters of a message that are searched."""

_PULL_LIMIT = re.compile(r"\bpull rate limit\b", re.IGNORECASE)
_TIME = re.compile(
    r"\b(?:retry[-_ ]?after|(?:try|retry)(?: again)? (?:in|after))\b[\"': =]{0,4}"
    r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?)(?P<rest>[a-zµμ0-9.]{0,40}) ?(?P<word>[a-z]{0,12})",
    re.IGNORECASE,
)
_WORDS = {"": 1, "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "hour": 3600, "h": 3600, "m": 60}


def with_wait(fault: Fault, message: str) -> Fault:
    """Return the fault with what the registry's message says about when to come back.

    Args:
        fault: one that throttles.
        message: what follows the words that the fault was recognized by, from the registry alone.
    """
    message = message[:_LONGEST]
    if _PULL_LIMIT.search(message):
        return msgspec.structs.replace(fault, retry_after=DOCKER_HUB_WINDOW, is_of_account=True)
    seconds = max((_seconds(match) for match in _TIME.finditer(message)), default=0.0)
    return msgspec.structs.replace(fault, retry_after=min(seconds, LONGEST_WAIT)) if seconds else fault


def _seconds(match: re.Match[str]) -> float:
    number, rest, word = match["number"], match["rest"].rstrip("."), match["word"].lower()
    if rest:
        try:
            return parse_duration(number + rest)  # as Go writes it
        except DurationError:
            word = rest.lower()  # 30sec
    unit = _WORDS.get(word) or _WORDS.get(word.removesuffix("s"), 1)
    return float(number) * unit
