"""The flags of `fetch` and `aggregate`, as `deploy_gen` knows them.

python -m tests.golden.flags     writes deploy_gen/program_flags.py again, after a change of a flag
"""

from pathlib import Path
from typing import Literal, get_args, get_origin

from nodeprefetch.cli.commands import app

FILE = Path(__file__).parents[2] / "deploy_gen" / "program_flags.py"

HEAD = '''"""Flags of the program in the containers. Written by `python -m tests.golden.flags`; do not edit.

By flag, what its value is: empty for a switch, which takes none; `a|b` for one of these words; `DURATION`; `N` for a
whole number; anything else for a text. `…` at the end: the flag may be repeated.
"""

from collections.abc import Mapping
'''


def value_of(hint: object, metavar: str | None) -> str:
    """What stands in the table for a flag of this type."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind not in {type(None), Ellipsis}]
    if get_origin(kinds[0]) is Literal:
        kinds = list(get_args(kinds[0]))
    if all(isinstance(kind, str) for kind in kinds):
        return "|".join(kinds)
    if kinds == [bool]:
        return ""
    return ("N" if kinds == [int] else metavar or "TEXT") + ("…" if get_origin(hint) is tuple else "")


def table(command: str) -> dict[str, str]:
    """By flag, what its value is."""
    found = {
        name: value_of(argument.hint, argument.parameter.metavar)
        for argument in app[command].assemble_argument_collection()
        for name in argument.names
        if name.startswith("--")
    }
    return dict(sorted(found.items()))


def text() -> str:
    """What the file is to hold."""
    parts = [HEAD]
    for command in ("fetch", "aggregate"):
        lines = [f'    "{flag}": "{value}",\n' for flag, value in table(command).items()]
        parts.append(f"\n{command.upper()}: Mapping[str, str] = {{\n{''.join(lines)}}}\n")
    return "".join(parts)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
