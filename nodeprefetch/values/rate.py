"""Parses rates of requests, as registries state their limits: `44000/m`, `700/s`."""

import re

from nodeprefetch.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_FORM = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)/([smh])", re.ASCII)


class RateError(UsageError, ValueError):
    """Raised when a text is not a valid rate."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


def parse_rate(text: str) -> float:
    """Parse a number of requests per second, minute or hour.

    Returns:
        Requests per second, more than 0.

    Raises:
        RateError: the text is invalid, or the rate is 0.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise RateError(f"invalid rate {text[:100]!r} (expected e.g. 700/s, 44000/m or 100/h)")
    rate = float(form[1]) / _SECONDS[form[2]]
    if not rate:
        raise RateError(f"invalid rate {text!r}: must be greater than 0")
    return rate
