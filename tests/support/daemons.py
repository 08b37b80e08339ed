"""The real surroundings of tests: a containerd and a registry of our own, in a directory of our own."""

import os
from collections.abc import Iterable
from os import geteuid
from pathlib import Path

from tests.support.containerd import Containerd
from tests.support.docker_registry import DockerRegistry
from tests.support.spawn import DaemonError, find_program

__all__ = [
    "Containerd",
    "DaemonError",
    "DockerRegistry",
    "containerd2_program",
    "missing_programs",
    "why_no_containerd",
    "why_no_containerd2",
    "why_no_docker_registry",
]

_PACKAGES = {
    "containerd": ("containerd", "ctr"),
    "runc": ("runc",),
    "docker-registry": ("docker-registry",),
    "skopeo": ("skopeo",),
}


def missing_programs(packages: Iterable[str] = tuple(_PACKAGES)) -> tuple[str, ...]:
    """The Debian packages whose programs are not installed.

    Args:
        packages: of these: containerd, runc, docker-registry, skopeo.
    """
    return tuple(name for name in packages if not all(map(find_program, _PACKAGES[name])))


def why_no_containerd() -> str | None:
    """Why no `Containerd` can run here, for a person; None when one can."""
    if missing := missing_programs(["containerd", "runc"]):
        return f"not installed (Debian packages): {', '.join(missing)}"
    return "containerd needs root" if geteuid() else None


def containerd2_program() -> Path:
    """Where dev/containerd2 puts the containerd 2 that it builds."""
    above = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("NODEPREFETCH_CACHE") or Path(above, "nodeprefetch")) / "programs" / "containerd"


def why_no_containerd2() -> str | None:
    """Why no `Containerd(binary=containerd2_program())` can run here, for a person; None when one can."""
    if not os.access(containerd2_program(), os.X_OK):
        return "containerd 2 is not built here: dev/containerd2 does that"
    return "containerd needs root" if geteuid() else None


def why_no_docker_registry() -> str | None:
    """Why no `DockerRegistry` can run here, for a person; None when one can."""
    return None if not missing_programs(["docker-registry"]) else "not installed (Debian package): docker-registry"
