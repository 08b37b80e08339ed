"""Writes the table of values in the chart's README.md."""

import json
import re

from tests.golden.chart_values import IMAGE, NAME, Value, groups

_TABLE = re.compile(r"(<!-- Written by [^\n]*-->\n).*(<!-- end -->\n)", re.DOTALL)


def text(present: str) -> str:
    """Put the table into the text of the file."""
    return _TABLE.sub(lambda match: f"{match[1]}{_table()}\n{match[2]}", present)


def _table() -> str:
    lines = []
    for title, values in groups().items():
        lines += ["", f"### {title}", "", "| value | type | default | meaning |", "|---|---|---|---|"]
        for value in values:
            lines.append(_row(value.name, value))
            if value == NAME:
                lines += [_row(f"image.{member.name}", member) for member in IMAGE]
    return "\n".join(lines) + "\n"


def _row(name: str, value: Value) -> str:
    default = "" if value.default in (None, "", [], {}, False) else f"`{json.dumps(value.default)}`"
    cells = [f"`{name}`", value.kind, default, value.text.replace("|", r"\|")]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
