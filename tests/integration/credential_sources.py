"""Sources of credentials made for a test: pull secrets, programs of the kubelet's kind, an installed plugin."""

import base64
import json
import os
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tests.integration.program import Ended

V1 = "credentialprovider.kubelet.k8s.io/v1"
SLOW = {"initial_pull_attempt_delay": "40s", "max_pull_attempt_delay": "40s"}
"""A run that waits before an attempt would not end in its time."""

HTPASSWD_HASH = "$2b$04$hE21zvhqAZTyn1OB/Pzfb.SIt8bYmLO/bpg9uYqmBRfjpExmyR4.m"
"""Of the password 1, with bcrypt at its lowest cost."""


def entry(username: str, password: str) -> dict[str, str]:
    """As docker writes it."""
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def write_secret(path: Path, auths: Mapping[str, Mapping[str, str]]) -> Path:
    """A file of type dockerconfigjson."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": auths}))
    return path


def mount_secret(directory: Path, name: str, content: str) -> Path:
    """A directory as the kubelet mounts a Secret: links to a directory with a date, which is changed as a whole."""
    dated = directory / "..2026_01_01_00_00_00.123456789"
    dated.mkdir(parents=True)
    (dated / name).write_text(content)
    (directory / "..data").symlink_to(dated.name)
    (directory / name).symlink_to(f"..data/{name}")
    return directory


def used(ended: Ended, message: str = "pulling") -> list[str]:
    """Source and key of the credential in each of these lines; what is said of it in parentheses is for people."""
    return [line.get("credential", "").partition(" (")[0] for line in ended.lines(message)]


def refusals(ended: Ended) -> int:
    """How many attempts were refused."""
    return len(ended.lines("attempt failed", **{"class": "refused"}))


def notices(ended: Ended) -> list[str]:
    """What was said as a warning, apart from attempts."""
    return [line["msg"] for line in ended.log if line["level"] == "WARN" and line["msg"] != "attempt failed"]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Programs:
    """Credential provider programs and the kubelet's configuration of them.

    Each is a shell script, which is run with its own directory as $HERE. Each start is noted with the process ID in the
    file `NAME.started`, and what it was asked in `NAME.asked`.

    Args:
        directory: for all that.
        registry: what they are asked for.
    """

    def __init__(self, directory: Path, registry: str) -> None:
        self._directory = directory
        self._registry = registry
        self._bin_dir = directory / "bin"
        self._bin_dir.mkdir(parents=True)
        self._config = directory / "config.json"
        self._providers: list[dict[str, object]] = []

    def add(self, name: str, script: str = "", *, match: str = "", **members: object) -> None:
        """A program; without a script it prints what `answer` wrote for it."""
        lines = ["#!/bin/sh", f"HERE='{self._directory}'", f'echo $$ >> "$HERE/{name}.started"']
        lines += [f'cat >> "$HERE/{name}.asked"', textwrap.dedent(script) or f'cat "$HERE/{name}.json"']
        program = self._bin_dir / name
        program.write_text("\n".join(lines) + "\n")
        program.chmod(0o755)
        self.configure(name, match=match, **members)

    def configure(self, name: str, *, match: str = "", **members: object) -> None:
        """Only the entry in the configuration."""
        provider = {
            "name": name,
            "matchImages": [match or self._registry],
            "defaultCacheDuration": "10m",
            "apiVersion": V1,
        }
        self._providers.append(provider | members)
        document = {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": self._providers,
        }
        self._config.write_text(json.dumps(document))

    def answer(self, name: str, username: str, password: str, *, duration: str = "10m") -> None:
        """What the program prints from now on; changed in one step."""
        document = {
            "apiVersion": V1,
            "kind": "CredentialProviderResponse",
            "cacheKeyType": "Registry",
            "cacheDuration": duration,
            "auth": {self._registry: {"username": username, "password": password}},
        }
        new = self._directory / f"{name}.new"
        new.write_text(json.dumps(document))
        new.replace(self._directory / f"{name}.json")

    @property
    def options(self) -> dict[str, object]:
        """For the command line."""
        return {
            "image_credential_provider_config": self._config,
            "image_credential_provider_bin_dir": self._bin_dir,
        }

    def starts(self, name: str) -> list[int]:
        """Process IDs, one for each start."""
        return self.numbers(f"{name}.started")

    def numbers(self, file: str) -> list[int]:
        """The whole lines of a file beside the scripts, as numbers."""
        path = self._directory / file
        return [int(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    def asked(self, name: str) -> list[str]:
        """The image of each request."""
        path = self._directory / f"{name}.asked"
        return [json.loads(line)["image"] for line in path.read_text().splitlines()] if path.exists() else []


def install(directory: Path, name: str, source: str, *, plugins: Sequence[str], value: str = "make") -> None:
    """Lay out a distribution with credential plugins in a directory, as an installer would.

    Args:
        directory: to be on PYTHONPATH.
        name: of the distribution and its module.
        source: of the module.
        plugins: names of plugins.
        value: the factory in the module.
    """
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.py").write_text(textwrap.dedent(source))
    metadata = directory / f"{name}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"{plugin} = {name}:{value}" for plugin in plugins]
    (metadata / "entry_points.txt").write_text("\n".join(["[nodeprefetch.credential_providers]", *lines]) + "\n")


def processes_of(session: int) -> dict[int, tuple[bytes, bytes]]:
    """Command line and environment of each process that a program has started, itself included, by process ID.

    Args:
        session: process ID of the program, which leads a session of its own.
    """
    found: dict[int, tuple[bytes, bytes]] = {}
    parents = _parents()
    for pid in parents:
        if session not in _ancestors(pid, parents):
            continue
        try:
            place = Path(f"/proc/{pid}")
            found[pid] = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - many times a second
        if name.isdigit():
            try:
                status = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            parents[int(name)] = int(status.rpartition(")")[2].split()[1])
    return parents


def _ancestors(pid: int, parents: Mapping[int, int]) -> Collection[int]:
    seen = [pid]
    while (parent := parents.get(seen[-1], 0)) and parent not in seen:
        seen.append(parent)
    return seen
