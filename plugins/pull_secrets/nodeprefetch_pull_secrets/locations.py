"""Which files a `--docker-config` means: a file, a mounted Secret, or a directory of mounted Secrets."""

from collections.abc import Callable
from pathlib import Path

from nodeprefetch.errors import Problems, UsageError

PAYLOAD_NAMES = (".dockercfg", ".dockerconfigjson")
"""The keys of Secrets of the types kubernetes.io/dockercfg and kubernetes.io/dockerconfigjson."""


Label = Callable[[str | Path], str]
"""What a file or directory is called in a message."""


def by_path(path: str | Path) -> str:
    """For whoever has just written the path."""
    return f"docker-config {path}"


def by_name(path: str | Path) -> str:
    """The name of the Secret or file alone: what is said during a run leaves the node."""
    path = Path(path)
    return f"docker-config {(path.parent.name if path.name in PAYLOAD_NAMES else path.name) or path.name}"


def find_payload_files(location: str, label: Label = by_path) -> tuple[Path, ...]:
    """The file itself; for a directory the payloads in it, then those one level below, sorted by name.

    A mounted Secret also has `..data` and directories with a date in their name, where its content really lies; they
    are not looked into.

    Raises:
        UsageError: it is not there, cannot be read, or is a directory without a payload.
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
        wanted = " nor ".join(PAYLOAD_NAMES)
        where = "in this directory, nor in a directory in it"
        hint = "name the file itself if it is called otherwise"
        raise UsageError([f"{label(location)}: there is neither {wanted} {where}; {hint}"])
    return tuple(found)


def unreadable(path: str | Path, error: OSError | ValueError, label: Label) -> UsageError:
    """What to tell about a path that cannot be read."""
    if isinstance(error, OSError):
        return UsageError([f"{label(path)}: cannot be read: {error.strerror or error}"])
    return UsageError([f"{label(repr(str(path)))}: cannot be read: a path must not hold a NUL"])
