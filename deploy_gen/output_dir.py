"""Writes the files of an installation into a directory that may contain those of an earlier run and files of others."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy_gen.kustomization import LIST_FILE, listed_files, owner
from deploy_gen.problems import InputError

_LARGEST = 4 << 20
"""Bytes that are read of a file. One of ours has at most a list of 1 MiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What a run has done, by paths in the directory."""

    written: tuple[str, ...]
    """Files that are new or differ."""

    deleted: tuple[str, ...]
    """Files of an earlier run that are no longer generated."""


def write_directory(directory: Path, name: str, files: Mapping[str, str]) -> Changes:
    """Write the files, and delete those of an earlier run that are not among them.

    Files that this program has not written are never changed. All new files are complete before the first one replaces
    another, and the list is replaced last, so the directory can be applied at any time.

    Args:
        directory: created if it does not exist.
        name: of the installation.
        files: texts by paths; the last is the list.

    Raises:
        InputError: there are files in the way. Nothing was changed.
        OSError: a file cannot be read or written.
    """
    existing = {path: text for path in files if (text := _read(directory / path)) is not None}
    leftovers = _leftovers(directory, name, files, existing)
    changed = {path: text for path, text in files.items() if existing.get(path) != text}
    _replace(directory, changed)
    for path in leftovers:
        (directory / path).unlink(missing_ok=True)
    return Changes(written=tuple(changed), deleted=leftovers)


def _leftovers(directory: Path, name: str, files: Mapping[str, str], existing: Mapping[str, str]) -> tuple[str, ...]:
    """List the files to delete, if all files may be replaced.

    Raises:
        InputError: with all files that may not.
    """
    problems = [f"{directory / path}: {why}" for path, text in existing.items() if (why := _not_ours(text, name))]
    leftovers: list[str] = []
    listing = existing.get(LIST_FILE, "")
    if owner(listing) == name:
        listed = listed_files(listing)
        if listed is None:
            problems.append(f"{directory / LIST_FILE}: was edited (make changes in an overlay, and delete this file)")
        leftovers = [path for path in listed or () if path not in files]
    foreign = [path for path in leftovers if (text := _read(directory / path)) is not None and owner(text) != name]
    problems += (
        f"{directory / LIST_FILE}: lists {path}, which was not written by nodeprefetch-deploy (list it in an overlay)"
        for path in foreign
    )
    if problems:
        raise InputError(*(f"--output-dir: {problem}" for problem in problems))
    return tuple(leftovers)


def _not_ours(text: str, name: str) -> str:
    """Say why a file may not be replaced; empty: it may."""
    found = owner(text)
    if not found:
        return "was not written by nodeprefetch-deploy (move it away, or use another directory)"
    if found != name:
        return f"belongs to the installation {found} (use another directory, or delete this one)"
    return ""


def _read(file: Path) -> str | None:
    """Return the text of a file; None: it does not exist. What is not a regular file has no text."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return ""
    except FileNotFoundError:
        return None
    with file.open("rb") as stream:
        return stream.read(_LARGEST).decode(errors="replace")


def _replace(directory: Path, files: Mapping[str, str]) -> None:
    made: dict[Path, Path] = {}
    try:
        for path, text in files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            made[draft] = target
            with draft.open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
        for draft, target in made.items():
            draft.replace(target)
    finally:
        for draft in made:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
