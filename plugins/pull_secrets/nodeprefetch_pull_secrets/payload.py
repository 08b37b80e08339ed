"""One file with a pull secret, read: its credentials, and by what a change of it is noticed."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nodeprefetch.credentials.dockerconfig import (
    DockerConfig,
    DockerConfigError,
    parse_by_content,
    parse_docker_config,
    parse_legacy_docker_config,
)
from nodeprefetch.credentials.keyring import Keyring, KeyringEntry
from nodeprefetch.errors import UsageError
from nodeprefetch.text.plain_file import open_given
from nodeprefetch.values.image_ref import quote
from nodeprefetch_pull_secrets.locations import Label, by_name, by_path, unreadable

MAX_FILE_BYTES = 1 << 20
"""A Secret holds 1 MiB at most."""

Fingerprint = tuple[int, int, int, int]
"""Device, inode, bytes, time of modification."""

_PARSERS: dict[str, Callable[[bytes], DockerConfig]] = {
    ".dockerconfigjson": parse_docker_config,
    ".dockercfg": parse_legacy_docker_config,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """What was in a file."""

    path: Path
    fingerprint: Fingerprint | None
    """None for what can be read only once, such as a pipe."""
    entries: tuple[KeyringEntry, ...]
    """In order of appearance."""
    warnings: tuple[str, ...]
    """What was left out or is odd, named by file and key, without secrets and paths."""


def read_payload(path: Path, label: Label = by_path) -> Payload:
    """Read a file: by its name, else by what is in it (see `parse_by_content`).

    Raises:
        UsageError: the file cannot be read, or is no pull secret. A single bad entry is a warning.
    """
    try:
        with open_given(path) as file:
            fingerprint = _fingerprint(os.fstat(file.fileno()))
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error, label) from error
    if len(data) > MAX_FILE_BYTES:
        raise UsageError([f"{label(path)}: longer than {MAX_FILE_BYTES} bytes: this is no pull secret"])
    try:
        config = _PARSERS.get(path.name, parse_by_content)(data)
    except DockerConfigError as error:
        raise UsageError([f"{label(path)}: {problem}" for problem in error.problems]) from error
    unusable = (f"key {quote(key)} is left out: no host or host/path" for key in Keyring(config.entries).unusable_keys)
    return Payload(
        path=path,
        fingerprint=fingerprint,
        entries=config.entries,
        warnings=tuple(f"{by_name(path)}: {warning}" for warning in (*config.warnings, *unusable)),
    )


def fingerprint(path: Path) -> Fingerprint | None:
    """Of what is there now; None where there is no regular file."""
    try:
        return _fingerprint(path.stat())
    except OSError:
        return None


def _fingerprint(status: os.stat_result) -> Fingerprint | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
