"""Durations as Go programs and Kubernetes write them (`1m30s`, `1.5h`, `300ms`), to seconds and back."""

import math
import re

from nodeprefetch.errors import UsageError

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, the micro sign
    "μs": 10**3,  # U+03BC, the Greek letter: Go takes both
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([a-zµμ]+)")
_MAX_NANOSECONDS = 2**63 - 1
_MAX_LENGTH = 100  # nobody writes more; keeps the arithmetic on integers small
_EXAMPLES = "write it like 1m30s, 1.5h or 300ms"


class DurationError(UsageError, ValueError):
    """Raised when a text is not a duration that can be used."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


def parse_duration(text: str) -> float:
    """Read a duration by the rules of Go's `time.ParseDuration`, save that it must not be negative.

    Returns:
        Seconds.

    Raises:
        DurationError: not a duration, a negative one, or one of more than 292 years.
    """
    unsigned = text.removeprefix("+")
    if text.startswith("-"):
        raise DurationError(f"{text[:_MAX_LENGTH]!r} is negative: a duration is 0 or more")
    if unsigned == "0":
        return 0.0
    if not unsigned or len(unsigned) > _MAX_LENGTH:
        raise DurationError(f"{text[:_MAX_LENGTH]!r} is not a duration: {_EXAMPLES}")
    total = position = 0
    while position < len(unsigned):
        part = _PART.match(unsigned, position)
        total += _nanoseconds(part, text)
        position = part.end() if part else position
    if total > _MAX_NANOSECONDS:
        raise DurationError(f"{text!r} is longer than 292 years")
    return total / 10**9


def format_duration(seconds: float) -> str:
    """Write a duration to the nanosecond, leaving out what is zero: `1m30s`, `5m`, `300ms`, `0s`.

    What comes out can be read back by `parse_duration`, and by Go.

    Raises:
        ValueError: negative, infinite, or not a number.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"not a duration: {seconds!r}")
    numerator, denominator = seconds.as_integer_ratio()
    total = (numerator * 10**9 + denominator // 2) // denominator
    for unit in ("ns", "µs", "ms"):
        if 0 < total < 10**9 and total < _NANOSECONDS[unit] * 1000:
            return _decimal(total, _NANOSECONDS[unit]) + unit
    hours, rest = divmod(total, _NANOSECONDS["h"])
    minutes, rest = divmod(rest, _NANOSECONDS["m"])
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    if rest or not total:
        parts.append(_decimal(rest, _NANOSECONDS["s"]) + "s")
    return "".join(parts)


def _nanoseconds(part: re.Match[str] | None, text: str) -> int:
    if part is None:
        unitless = text.replace(".", "", 1).removeprefix("+").isdecimal()
        hint = f"the unit is missing: {text}s, {text}m?" if unitless else _EXAMPLES
        raise DurationError(f"{text!r} is not a duration: {hint}")
    whole, fraction, unit = part.group(1), part.group(2) or "", part.group(3)
    if unit not in _NANOSECONDS:
        raise DurationError(f"{text!r} is not a duration: unknown unit {unit!r}, use h, m, s, ms, µs or ns")
    if not whole and not fraction:
        raise DurationError(f"{text!r} is not a duration: no number before {unit!r}")
    scale = _NANOSECONDS[unit]
    below_one: int = int(fraction or "0") * scale // 10 ** len(fraction)
    return int(whole or "0") * scale + below_one


def _decimal(nanoseconds: int, unit: int) -> str:
    whole, fraction = divmod(nanoseconds, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
