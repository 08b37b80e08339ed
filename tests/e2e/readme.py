"""The commands of README.md, as text to run: what is shown to users is what is tested."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
STEPS = "Six steps to warm nodes"

_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str, text: str | None = None) -> str:
    """What stands between this heading of the second level and the next one."""
    text = README.read_text(encoding="utf-8") if text is None else text
    _, found, rest = text.partition(f"\n## {title}\n")
    if not found:
        raise LookupError(f"README.md has no section {title!r}")
    return rest.partition("\n## ")[0]


def commands(text: str) -> str:
    """All of its shell blocks, one after the other."""
    return "".join(_FENCE.findall(text))


def steps() -> dict[int, str]:
    """Number of a step to its commands."""
    parts = re.split(r"^### (\d+)\. .*$", section(STEPS), flags=re.MULTILINE)
    return {int(number): commands(text) for number, text in zip(parts[1::2], parts[2::2], strict=True)}
