"""Where credentials come from: the interface, and the source that is one file of pull secrets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from nodeprefetch.credentials.auth import Credential
from nodeprefetch.credentials.dockerconfig import (
    DockerConfig,
    DockerConfigError,
    parse_docker_config,
    parse_legacy_docker_config,
)
from nodeprefetch.credentials.keyring import Keyring
from nodeprefetch.errors import UsageError
from nodeprefetch.imageref import ImageRef, quote

MAX_FILE_BYTES = 1 << 20
"""A Secret holds 1 MiB at most."""

_LEGACY_NAME = ".dockercfg"


class CredentialSource(Protocol):
    """Something that may know credentials for an image."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    async def credentials_for(self, image: ImageRef) -> Sequence[Credential]:
        """Credentials in the order of use; empty when it knows none."""
        ...


class DockerConfigSource:
    """The credentials of one dockerconfigjson file, read once.

    Args:
        name: for people: `docker-config PATH`.
        config: what was in the file.
    """

    def __init__(self, name: str, config: DockerConfig) -> None:
        self._name = name
        self._keyring = Keyring(config.entries)
        unusable = (f"{quote(key)} is left out: no host or host/path" for key in self._keyring.unusable_keys)
        self.warnings: tuple[str, ...] = tuple(f"{name}: {warning}" for warning in (*config.warnings, *unusable))
        """What was left out or is odd, one line each, without secrets."""

    @property
    def name(self) -> str:
        """For people."""
        return self._name

    async def credentials_for(self, image: ImageRef) -> Sequence[Credential]:
        """Every credential whose key matches, the most specific key first. Asks nobody, so it does not wait."""
        return [Credential(source=self._name, key=entry.key, auth=entry.auth) for entry in self._keyring.lookup(image)]


def load_docker_config(path: str | Path) -> DockerConfigSource:
    """Read the file of `--docker-config`: a `.dockerconfigjson`, or a `.dockercfg` if that is its name.

    Raises:
        UsageError: the file cannot be read, or is no such file. A single bad entry is a warning of the source.
    """
    path = Path(path)
    name = f"docker-config {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except IsADirectoryError as error:
        hint = "name the file in it, such as .dockerconfigjson"
        raise UsageError([f"{name}: is a directory: {hint}"]) from error
    except OSError as error:
        raise UsageError([f"{name}: cannot be read: {error.strerror or error}"]) from error
    except ValueError as error:  # a NUL in the path
        raise UsageError([f"{name!r}: cannot be read: {error}"]) from error
    if len(data) > MAX_FILE_BYTES:
        raise UsageError([f"{name}: longer than {MAX_FILE_BYTES} bytes: this is no pull secret"])
    parse = parse_legacy_docker_config if path.name == _LEGACY_NAME else parse_docker_config
    try:
        return DockerConfigSource(name, parse(data))
    except DockerConfigError as error:
        raise UsageError([f"{name}: {problem}" for problem in error.problems]) from error
