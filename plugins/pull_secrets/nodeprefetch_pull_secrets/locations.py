"""Finds the files of a `--docker-config`: a file, a mounted Secret, or a directory of mounted Secrets."""

from collections.abc import Callable
from pathlib import Path

from nodeprefetch.credentials import Problems, UsageError

PAYLOAD_NAMES = (".dockercfg", ".dockerconfigjson")
"""The keys of Secrets of the types kubernetes.io/dockercfg and kubernetes.io/dockerconfigjson."""


Label = Callable[[str | Path], str]
"""Returns the name of a file or directory for a message."""


def by_path(path: str | Path) -> str:
    """Name it by its path, for messages at start."""
    return f"docker-config {path}"


def by_name(path: str | Path) -> str:
    """Name it by Secret or file alone, for messages during a run: they leave the node."""
    path = Path(path)
    return f"docker-config {(path.parent.name if path.name in PAYLOAD_NAMES else path.name) or path.name}"


def find_payload_files(location: str, label: Label = by_path) -> tuple[Path, ...]:
    """Return the file itself, or for a directory the payloads in it, then those one level below, sorted by name.

    Skips `..data` and the dated directories of a mounted Secret, in which the kubelet keeps its content.

    Raises:
        UsageError: it does not exist, cannot be read, or is a directory without a payload.
    """
    try:
        root = Path(location)
        if root.exists() and not root.is_dir():
            return (root,)
        members = sorted(root.iterdir())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise unreadable(location, error, label) from error
    found = [path for path in members if path.name in PAYLOAD_NAMES]
    problems = Problems()
    for member in members:
        if member.name in PAYLOAD_NAMES or member.name.startswith(".."):
            continue
        try:
            if member.is_dir():
                found += sorted(path for path in member.iterdir() if path.name in PAYLOAD_NAMES)
        except OSError as error:
            problems.add(str(unreadable(member, error, label)))
    problems.raise_if_any()
    if not found:
        wanted = " or ".join(PAYLOAD_NAMES)
        hint = "if the file has another name, pass its path"
        raise UsageError([f"{label(location)}: no {wanted} in the directory or one level below ({hint})"])
    return tuple(found)


def unreadable(path: str | Path, error: OSError | ValueError, label: Label) -> UsageError:
    """Return the error for a path that cannot be read."""
    if isinstance(error, OSError):
        return UsageError([f"{label(path)}: cannot be read: {error.strerror or error}"])
    return UsageError([f"{label(repr(str(path)))}: cannot be read: a path must not contain a NUL byte"])
