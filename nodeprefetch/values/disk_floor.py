"""How much of a disk is to stay free: bytes or per cent, read as Kubernetes writes them."""

import re
from dataclasses import dataclass

from nodeprefetch.errors import UsageError
from nodeprefetch.values.sizes import format_size

_UNITS = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kMGTP", 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTP", 1)},
}
_FORM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([A-Za-z]*|%)", re.ASCII)
_WHOLE = 100


class DiskFloorError(UsageError, ValueError):
    """Raised when a text is no such amount."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskFloor:
    """One of the two is not 0, or nothing is kept free but the last byte."""

    size: int = 0
    """Bytes."""

    percent: float = 0
    """Of the file system."""

    def of(self, total: int) -> int:
        """Bytes that are to stay free on a file system of so many."""
        return max(self.size, round(total * self.percent / _WHOLE))

    def __str__(self) -> str:
        """`10.0 GiB`, `15%`."""
        return f"{self.percent:g}%" if self.percent else format_size(self.size) or "0 B"


def parse_disk_floor(text: str) -> DiskFloor:
    """Read `10Gi`, `500M`, `1.5G`, `15%`, or bytes without a unit.

    The units are those of Kubernetes' quantities: k, M, G, T, P are powers of 1000, Ki, Mi, Gi, Ti, Pi of 1024.

    Raises:
        DiskFloorError: it is none of these, or not below 100 %.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise DiskFloorError(f"{text!r} is no amount of disk: write 10Gi, 500M or 15%")
    number, unit = float(form[1]), form[2]
    if unit == "%":
        if number >= _WHOLE:
            raise DiskFloorError(f"{text!r}: less than 100% of a disk can stay free")
        return DiskFloor(percent=number)
    if unit not in _UNITS:
        raise DiskFloorError(f"{text!r}: unknown unit {unit!r}, use k, M, G, T, Ki, Mi, Gi, Ti or %")
    return DiskFloor(size=round(number * _UNITS[unit]))
