"""What differs between clusters: the runtime's socket, the cloud's credential providers. Ports of the aggregator."""

from collections.abc import Mapping
from dataclasses import dataclass

HTTP_PORT = 8080
"""For queries, probes and submissions."""

SUBMISSION_PORT = 8443
"""For submissions only. Fetch pods use it, so that a network policy can separate them from queries."""

GROWTHS = ("fixed", "doubling")
"""How the number of nodes that may pull can grow, the default first."""

OPENSHIFT = "ocp"

SOCKETS: Mapping[str, str] = {
    "vanilla": "/run/containerd/containerd.sock",
    OPENSHIFT: "/var/run/crio/crio.sock",
    "k3s": "/run/k3s/containerd/containerd.sock",
    "rke2": "/run/k3s/containerd/containerd.sock",
    "microk8s": "/var/snap/microk8s/common/run/containerd.sock",
    "k0s": "/run/k0s/containerd.sock",
}
"""Path of the container runtime's socket, by flavor."""

FLAVORS = tuple(SOCKETS)

CRIO_SOCKET = "crio.sock"
"""File name of CRI-O's socket."""

CRIO_DOWNLOADS = "/var/tmp"  # noqa: S108 - a path of the node
"""Directory of the node in which CRI-O keeps what it downloads, unless its storage.conf names another."""

SOCKET_SELINUX_TYPE = "spc_t"
"""An SELinux type that may connect to the runtime's socket; the default type of containers may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialProviders:
    """Credential providers of the kubelet on a node. Paths are the same in the container."""

    config: str
    """File, or directory of files, of kind CredentialProviderConfig."""

    bin_dir: str
    """Directory of the binaries."""

    files: tuple[str, ...] = ()
    """Other files that they read."""

    uses_metadata_server: bool
    """Whether they request the node's identity from it, which needs the node's network."""


CLOUDS: Mapping[str, CredentialProviders] = {
    # With Workload Identity the metadata server returns the pod's own identity, except in the node's network.
    "GKE": CredentialProviders(
        config="/etc/srv/kubernetes/cri_auth_config.yaml",
        bin_dir="/home/kubernetes/bin",
        uses_metadata_server=True,
    ),
    # The usual hop limit of 1 keeps responses of the metadata server from pods.
    "EKS": CredentialProviders(
        config="/etc/eks/image-credential-provider/config.json",
        bin_dir="/etc/eks/image-credential-provider",
        uses_metadata_server=True,
    ),
    # azure.json, to which the configuration refers, has the identity to request from the metadata server.
    "AKS": CredentialProviders(
        config="/var/lib/kubelet/credential-provider-config.yaml",
        bin_dir="/var/lib/kubelet/credential-provider",
        files=("/etc/kubernetes/azure.json",),
        uses_metadata_server=True,
    ),
}
"""Credential providers of managed nodes, by cloud."""
