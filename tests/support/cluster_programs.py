"""Find the programs of a Kubernetes cluster, which `dev/cluster build` compiles, and the missing ones."""

import os
from os import geteuid
from pathlib import Path

from tests.support.spawn import find_program

OLDEST = "1.30"
"""The oldest minor version of Kubernetes that the manifests support."""

_COMPILED = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "coredns",
    "pause.tar",
)
_INSTALLED = ("etcd", "runc", "docker-registry", "skopeo", "nft", "conntrack", "ip", "openssl", "curl")
_CONTAINERD_2 = ("containerd", "containerd-shim-runc-v2", "ctr")


def programs_directory() -> Path:
    """Return the directory where `dev/cluster build` puts compiled programs."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("NODEPREFETCH_CACHE") or Path(caches) / "nodeprefetch") / "programs"


def api_server_program(version: str = "") -> Path:
    """The API server.

    Args:
        version: minor version, `1.30`; the newest without it.
    """
    return programs_directory() / (f"kube-apiserver-{version}" if version else "kube-apiserver")


def helm_program() -> Path:
    """Helm."""
    return programs_directory() / "helm"


def why_no_helm() -> str | None:
    """Return why the chart cannot be rendered here; None if it can."""
    return _missing([] if helm_program().exists() else ["helm"], [])


def why_no_api_server(version: str = "") -> str | None:
    """Return why `ApiServer` cannot run here; None if it can."""
    compiled = [api_server_program(version), programs_directory() / "kubectl"]
    return _missing([path.name for path in compiled if not path.exists()], ["etcd"])


def why_no_cluster(containerd: str = "2") -> str | None:
    """Return why `Cluster` cannot run here; None if it can.

    Args:
        containerd: `2` or `debian`, as for `dev/cluster up`.
    """
    names = (*_COMPILED, *_CONTAINERD_2) if containerd == "2" else _COMPILED
    missing = [name for name in names if not (programs_directory() / name).exists()]
    installed = [*_INSTALLED, *(["containerd"] if containerd == "debian" else [])]
    return _missing(missing, installed) or ("clusters need root" if geteuid() else None)


def _missing(missing: list[str], installed: list[str]) -> str | None:
    missing += [name for name in installed if find_program(name) is None]
    return f"missing {', '.join(missing)} (run dev/cluster build)" if missing else None
