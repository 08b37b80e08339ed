"""Lays out rows as columns of text, for people."""

from collections.abc import Sequence

from nodeprefetch.text.printable import printable


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Every column as wide as its widest cell, two blanks between; no blanks at the ends of lines.

    What does not print is escaped (`printable`): others named it.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
