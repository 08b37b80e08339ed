"""Amounts of data: formats bytes, and parses sizes and the free disk space to keep, in the units of Kubernetes."""

import re

import msgspec

from nodeprefetch.errors import UsageError

_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_WIDE = 100
"""Numbers from here on are shown without decimals."""


def format_size(size: float) -> str:
    """Format bytes as `1.5 KiB`; 0 (unknown) as an empty text."""
    if not size:
        return ""
    unit = _unit(size)
    amount = size / _STEP**unit
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def format_share(done: int, total: int) -> str:
    """Format as `143 of 512 MiB`, or as `143 MiB` if the total is 0 (unknown)."""
    unit = _unit(total or done)
    scale = _STEP**unit
    whole = (total or done) / scale
    digits = 0 if unit == 0 or whole >= _WIDE else 1
    share = f"{done / scale:.{digits}f} of {whole:.{digits}f}" if total else f"{whole:.{digits}f}"
    return f"{share} {_UNITS[unit]}"


def format_rate(rate: float) -> str:
    """Format as `4.1 MiB/s`; 0 as an empty text."""
    size = format_size(round(rate))
    return f"{size}/s" if size else ""


def _unit(size: float) -> int:
    unit = 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    return unit


_SUFFIXES = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kMGTP", 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", 1)},
}
_FORM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([A-Za-z]*|%)", re.ASCII)
_WHOLE = 100


class SizeError(UsageError, ValueError):
    """Raised when a text is not a valid size."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


class DiskFloor(msgspec.Struct, frozen=True, kw_only=True):
    """Free space to keep: an absolute size or a percentage. The other one is 0."""

    size: int = 0
    """Bytes."""

    percent: float = 0
    """Of the file system."""

    def of(self, total: int) -> int:
        """Bytes to keep free on a file system of `total` bytes."""
        return max(self.size, round(total * self.percent / _WHOLE))

    def __str__(self) -> str:
        """`10.0 GiB`, `15%`."""
        return f"{self.percent:g}%" if self.percent else format_size(self.size) or "0 B"


def parse_size(text: str, *, expected: str = "e.g. 50Mi or 10M", units: str = "") -> int:
    """Parse `10Gi`, `500M`, `1.5G`, or bytes without a unit.

    The units are those of Kubernetes' quantities: k, M, G, T, P are powers of 1000, Ki, Mi, Gi, Ti, Pi of 1024.

    Args:
        text: what a user wrote.
        expected: examples, for the error.
        units: what else is possible, for the error.

    Raises:
        SizeError: the text is invalid.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None or form[2] == "%":
        raise SizeError(f"invalid size {text!r} (expected {expected})")
    if form[2] not in _SUFFIXES:
        raise SizeError(
            f"invalid size {text!r}: unknown unit {form[2]!r} (use k, M, G, T, P, Ki, Mi, Gi, Ti, Pi{units})"
        )
    scale: int = _SUFFIXES[form[2]]
    return round(float(form[1]) * scale)


def parse_disk_floor(text: str) -> DiskFloor:
    """Parse a size (`parse_size`), or a percentage below 100: `15%`.

    Raises:
        SizeError: the text is invalid.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None or form[2] != "%":
        return DiskFloor(size=parse_size(text, expected="e.g. 10Gi, 500M or 15%", units=" or %"))
    if float(form[1]) >= _WHOLE:
        raise SizeError(f"invalid size {text!r}: must be less than 100%")
    return DiskFloor(percent=float(form[1]))
