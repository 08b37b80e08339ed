"""The results of attacks as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of an attack."""

    name: str
    does: str
    count: int = 0
    rss: int = 0
    health: float | None = None
    seconds: float = 0.0
    failures: Sequence[str] = ()

    @property
    def row(self) -> tuple[str, ...]:
        """Return its cells."""
        return (
            self.name,
            str(self.count),
            f"{self.rss / MEBIBYTE:.0f}" if self.rss else "-",
            "-" if self.health is None else f"{self.health:.2f}",
            f"{self.seconds:.0f}",
            "FAILED" if self.failures else "ok",
            " | ".join([self.does, *(" ".join(failure.split()) for failure in self.failures)]),
        )


_HEAD = ("attack", "count", "RSS MiB", "/healthz s", "took s", "result", "what was done | what did not hold")


def table(results: Sequence[Result]) -> str:
    """Format all rows, aligned."""
    rows = [_HEAD, *(result.row for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )
