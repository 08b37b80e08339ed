"""Measured figures, and their table."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A quantity measured several times."""

    name: str
    unit: str
    """`ms`, `s`, `MiB`; `x` for a ratio of two measurements of one round."""

    values: tuple[float, ...]
    goal: float | None = None
    """Upper limit on an idle machine."""

    @property
    def median(self) -> float:
        """Median of the values."""
        return statistics.median(self.values)

    def to_json(self) -> dict[str, object]:
        """All data for the JSON report."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "n": len(self.values),
            "goal": self.goal,
        }


def ratio(name: str, ours: Figure, other: Figure, *, goal: float | None = None) -> Figure:
    """Divide the first by the second, round by round."""
    pairs = zip(ours.values, other.values, strict=True)
    return Figure(name=name, unit="x", values=tuple(a / b for a, b in pairs), goal=goal)


def milliseconds(name: str, seconds: Iterable[float], *, goal: float | None = None) -> Figure:
    """Return a figure of short times."""
    return Figure(name=name, unit="ms", values=tuple(1000 * value for value in seconds), goal=goal)


def mebibytes(name: str, amounts: Iterable[int], *, goal: float | None = None) -> Figure:
    """Return a figure of memory, from bytes."""
    return Figure(name=name, unit="MiB", values=tuple(amount / MEBIBYTE for amount in amounts), goal=goal)


def table(figures: Sequence[Figure]) -> str:
    """Format one line per figure."""
    rows: list[tuple[str, ...]] = [("", "median", "min", "max", "n", "unit", "goal")]
    rows += [
        (
            figure.name,
            *(f"{value:.{_digits(figure)}f}" for value in (figure.median, min(figure.values), max(figure.values))),
            str(len(figure.values)),
            figure.unit,
            "" if figure.goal is None else f"≤ {figure.goal:g} {'met' if figure.median <= figure.goal else 'NOT MET'}",
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
