"""Reads one pull secret file: its credentials, and a fingerprint that shows when it changes."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nodeprefetch.credentials import (
    DockerConfig,
    DockerConfigError,
    KeyPattern,
    KeyringEntry,
    UsageError,
    open_given,
    parse_by_content,
    parse_docker_config,
    parse_legacy_docker_config,
    quote,
)
from nodeprefetch_pull_secrets.locations import Label, by_name, by_path, unreadable

MAX_FILE_BYTES = 1 << 20
"""The maximum size of a Secret."""

Fingerprint = tuple[int, int, int, int]
"""Device, inode, size in bytes, modification time in nanoseconds."""

_PARSERS: dict[str, Callable[[bytes], DockerConfig]] = {
    ".dockerconfigjson": parse_docker_config,
    ".dockercfg": parse_legacy_docker_config,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """The content of a file."""

    path: Path
    fingerprint: Fingerprint | None
    """None for a file that can be read only once, such as a pipe."""
    entries: tuple[KeyringEntry, ...]
    """In the order of the file."""
    warnings: tuple[str, ...]
    """Entries that were skipped or are unusual, by file and key, without secrets and paths."""


def read_payload(path: Path, label: Label = by_path) -> Payload:
    """Read a file as its name says, otherwise by its content (see `parse_by_content`).

    Raises:
        UsageError: the file cannot be read, or is not a pull secret. A single invalid entry is a warning.
    """
    try:
        with open_given(path) as file:
            fingerprint = _fingerprint(os.fstat(file.fileno()))
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error, label) from error
    if len(data) > MAX_FILE_BYTES:
        raise UsageError([f"{label(path)}: larger than {MAX_FILE_BYTES} bytes (not a pull secret?)"])
    try:
        config = _PARSERS.get(path.name, parse_by_content)(data)
    except DockerConfigError as error:
        raise UsageError([f"{label(path)}: {problem}" for problem in error.problems]) from error
    unusable = (
        f"key {quote(entry.key)} skipped: must be a host or host/path"
        for entry in config.entries
        if KeyPattern.parse(entry.key) is None
    )
    return Payload(
        path=path,
        fingerprint=fingerprint,
        entries=config.entries,
        warnings=tuple(f"{by_name(path)}: {warning}" for warning in (*config.warnings, *unusable)),
    )


def fingerprint(path: Path) -> Fingerprint | None:
    """Return the fingerprint of a file; None if it is not a regular file."""
    try:
        return _fingerprint(path.stat())
    except OSError:
        return None


def _fingerprint(status: os.stat_result) -> Fingerprint | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
