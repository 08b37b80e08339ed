"""One measured figure, and how many of them look on a terminal."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured, several times."""

    name: str
    unit: str
    """`ms`, `s`, `MiB`; `x` for a ratio of two measurements of one round."""

    values: tuple[float, ...]
    aim: float | None = None
    """At most this, on a quiet machine."""

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, object]:
        """Everything that is known."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "n": len(self.values),
            "aim": self.aim,
        }


def ratio(name: str, ours: Figure, other: Figure, *, aim: float | None = None) -> Figure:
    """One by the other, round by round."""
    pairs = zip(ours.values, other.values, strict=True)
    return Figure(name=name, unit="x", values=tuple(a / b for a, b in pairs), aim=aim)


def milliseconds(name: str, seconds: Iterable[float], *, aim: float | None = None) -> Figure:
    """A short time."""
    return Figure(name=name, unit="ms", values=tuple(1000 * value for value in seconds), aim=aim)


def mebibytes(name: str, amounts: Iterable[int], *, aim: float | None = None) -> Figure:
    """An amount of memory, given in bytes."""
    return Figure(name=name, unit="MiB", values=tuple(amount / MEBIBYTE for amount in amounts), aim=aim)


def table(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    rows: list[tuple[str, ...]] = [("", "median", "min", "max", "n", "unit", "aim")]
    rows += [
        (
            figure.name,
            *(f"{value:.{_digits(figure)}f}" for value in (figure.median, min(figure.values), max(figure.values))),
            str(len(figure.values)),
            figure.unit,
            "" if figure.aim is None else f"≤ {figure.aim:g} {'met' if figure.median <= figure.aim else 'NOT MET'}",
        )
        for figure in figures
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [cells[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(cells[1:5], widths[1:5], strict=True)]
            + [cell.ljust(width) for cell, width in zip(cells[5:], widths[5:], strict=True)]
        ).rstrip()
        for cells in rows
    )


def _digits(figure: Figure) -> int:
    return 2 if figure.unit in {"s", "x", "%"} else 1
