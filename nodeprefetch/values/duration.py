"""Converts durations in Go's format (`1m30s`, `1.5h`, `300ms`) to seconds and back."""

import math
import re

from nodeprefetch.errors import UsageError

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, the micro sign
    "μs": 10**3,  # U+03BC, the Greek letter: Go accepts both
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([a-zµμ]+)")
_MAX_NANOSECONDS = 2**63 - 1
_MAX_LENGTH = 100  # keeps the integers small
_EXAMPLES = "expected e.g. 1m30s, 1.5h or 300ms"


class DurationError(UsageError, ValueError):
    """Raised when a text is not a valid duration."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


def parse_duration(text: str) -> float:
    """Parse a duration by the rules of Go's `time.ParseDuration`, except that it must not be negative.

    Returns:
        Seconds.

    Raises:
        DurationError: the duration is invalid, negative, or longer than 292 years.
    """
    unsigned = text.removeprefix("+")
    if text.startswith("-"):
        raise DurationError(f"invalid duration {text[:_MAX_LENGTH]!r}: must not be negative")
    if unsigned == "0":
        return 0.0
    if not unsigned or len(unsigned) > _MAX_LENGTH:
        raise DurationError(f"invalid duration {text[:_MAX_LENGTH]!r} ({_EXAMPLES})")
    total = position = 0
    while position < len(unsigned):
        part = _PART.match(unsigned, position)
        total += _nanoseconds(part, text)
        position = part.end() if part else position
    if total > _MAX_NANOSECONDS:
        raise DurationError(f"invalid duration {text!r}: longer than 292 years")
    return total / 10**9


def format_duration(seconds: float) -> str:
    """Format a duration to the nanosecond, without zero parts: `1m30s`, `5m`, `300ms`, `0s`.

    `parse_duration` and Go can read the result.

    Raises:
        ValueError: `seconds` is negative, infinite, or not a number.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"invalid duration: {seconds!r}")
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


def format_age(seconds: float) -> str:
    """Format how long ago something was, for people, in one unit as `kubectl` does: `45s`, `12m`, `30h`, `9d`.

    Less than nothing counts as nothing: clocks of nodes differ.
    """
    age = int(max(seconds, 0))
    for unit, length, largest in (("s", 1, 120), ("m", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if age < largest:
            return f"{age // length}{unit}"
    return f"{age // 86400}d"


def _nanoseconds(part: re.Match[str] | None, text: str) -> int:
    if part is None:
        unitless = text.replace(".", "", 1).removeprefix("+").isdecimal()
        problem = f": missing unit (e.g. {text}s or {text}m)" if unitless else f" ({_EXAMPLES})"
        raise DurationError(f"invalid duration {text!r}{problem}")
    whole, fraction, unit = part.group(1), part.group(2) or "", part.group(3)
    if unit not in _NANOSECONDS:
        raise DurationError(f"invalid duration {text!r}: unknown unit {unit!r} (use h, m, s, ms, µs or ns)")
    if not whole and not fraction:
        raise DurationError(f"invalid duration {text!r}: missing number before {unit!r}")
    scale = _NANOSECONDS[unit]
    below_one: int = int(fraction or "0") * scale // 10 ** len(fraction)
    return int(whole or "0") * scale + below_one


def _decimal(nanoseconds: int, unit: int) -> str:
    whole, fraction = divmod(nanoseconds, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
