"""Prints what a command found, as a table or as JSON, and its warnings."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO, TypeVar

from nodeprefetch.cli.environment import read_environment
from nodeprefetch.text.outlet import write
from nodeprefetch.text.printable import json_text, printable

if TYPE_CHECKING:
    import msgspec

Record = TypeVar("Record", bound="msgspec.Struct")


def print_records(records: Sequence[Record], output: str, to_table: Callable[[Sequence[Record]], str]) -> None:
    """Print records to standard output, as JSON if `output` is "json", otherwise as a table."""
    write(sys.stdout, (to_json(records) if output == "json" else to_table(records)) + "\n")


def to_json(records: "msgspec.Struct | Sequence[msgspec.Struct]") -> str:
    """Format a record as a JSON object, or several as an array of objects."""
    import msgspec  # noqa: PLC0415 - not for --help

    return json_text(msgspec.to_builtins(records), indent=2)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows as columns, each as wide as its widest cell, two spaces apart; lines have no trailing spaces.

    Escapes characters that do not print (`printable`): names come from outside.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def can_redraw(stream: TextIO) -> bool:
    """Whether this is a terminal on which lines can be drawn again."""
    return stream.isatty() and read_environment().variables.get("TERM", "dumb") != "dumb"


def warn(text: str) -> None:
    """Print a warning to standard error."""
    write(sys.stderr, f"nodeprefetch: {printable(text)}\n")
