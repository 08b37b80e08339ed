"""Copy an installed Python distribution and its run-time dependencies, without build tools."""

import re
import shutil
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

_UNWANTED_FOLDERS = {"__pycache__", "bin", "test", "tests", "_tests"}
_UNWANTED_FILES = {"RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json", "top_level.txt", "py.typed"}
_UNWANTED_SUFFIXES = {".pyi", ".pyx", ".pxd", ".c", ".h", ".pyc"}
# Files for developers only, and lexers for five hundred languages, of which Rich needs only Python's.
_NOT_FOR_THE_IMAGE = re.compile(
    r"nodeprefetch/testing/.*|multidict/_testcapi\..*|pygments/lexers/(?!(__init__|_mapping|python|special)\.).*"
)


def needed_by(name: str, installed: Path) -> list[Distribution]:
    """Return the distribution, first, and all its run-time dependencies.

    Args:
        name: of a distribution.
        installed: directory that pip installed into, with `--target`.

    Raises:
        KeyError: one is not installed.
    """
    known = {_normalised(each.metadata["Name"]): each for each in distributions(path=[str(installed)])}
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset[str]())]
    while waiting:
        wanted, extras = waiting.pop()
        distribution = known[_normalised(wanted)]
        found[_normalised(wanted)] = distribution
        for requirement in distribution.requires or ():
            needed = _read(requirement, extras)
            if needed is not None and _normalised(needed[0]) not in found and _normalised(needed[0]) in known:
                waiting.append(needed)
    first, *rest = found
    return [found[first], *(found[each] for each in sorted(rest))]


def copy_distributions(wanted: Iterable[Distribution], installed: Path, place: Path) -> None:
    """Copy their files without tests and C sources. Of the metadata, keep what programs read, and the licenses."""
    for distribution in wanted:
        for file in distribution.files or ():
            source = installed / file
            if _is_wanted(file) and source.is_file():
                target = place / file
                target.parent.mkdir(parents=True, exist_ok=True)
                if file.name == "METADATA":
                    target.write_text(_without_description(source.read_text()))
                else:
                    shutil.copyfile(source, target)


def _is_wanted(file: Path) -> bool:
    return not (
        ".." in file.parts
        or _UNWANTED_FOLDERS.intersection(file.parts[:-1])
        or file.name in _UNWANTED_FILES
        or file.suffix in _UNWANTED_SUFFIXES
        or _NOT_FOR_THE_IMAGE.fullmatch(str(file))
    )


def _without_description(metadata: str) -> str:
    """Return only the fields. Some startups parse the metadata, including a readme."""
    return metadata.partition("\n\n")[0] + "\n"


def _read(requirement: str, extras: frozenset[str]) -> tuple[str, frozenset[str]] | None:
    """Return name and extras of a requirement; None if it belongs to an extra that is not requested.

    Other markers (Python's version, the platform) need no look: pip has decided by them what was installed.
    """
    match = re.fullmatch(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?", requirement)
    if match is None:
        raise ValueError(f"cannot read the requirement {requirement!r}")
    name, its_extras, marker = match.groups()
    needs = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker or "")
    if needs and needs[1] not in extras:
        return None
    return name, frozenset(each.strip() for each in (its_extras or "").split(",") if each.strip())


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
