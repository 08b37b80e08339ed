"""What differs between clusters: the runtime's socket, a cloud's credential programs. Ports of the aggregator."""

from collections.abc import Mapping
from dataclasses import dataclass

READING = 8080
"""Reading, health, and submission."""

SUBMISSION = 8443
"""Submission alone: fetch pods use this one, so that a network policy can tell it from reading."""


OPENSHIFT = "ocp"

SOCKETS: Mapping[str, str] = {
    "vanilla": "/run/containerd/containerd.sock",
    OPENSHIFT: "/var/run/crio/crio.sock",
    "k3s": "/run/k3s/containerd/containerd.sock",
    "rke2": "/run/k3s/containerd/containerd.sock",
    "microk8s": "/var/snap/microk8s/common/run/containerd.sock",
    "k0s": "/run/k0s/containerd.sock",
}
"""By flavor."""

FLAVORS = tuple(SOCKETS)

UNCONFINED = "spc_t"
"""The SELinux type that may connect to a runtime's socket; that of containers may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialPrograms:
    """The kubelet's credential providers on a node, by paths that hold in our container too."""

    config: str
    """File, or directory of files, of kind CredentialProviderConfig."""

    bin_dir: str
    """Where the programs are."""

    others: tuple[str, ...] = ()
    """Files that they read."""

    asks_metadata_server: bool
    """As the node: its address is the node's, and its identity too."""


INTEGRATIONS: Mapping[str, CredentialPrograms] = {
    # With Workload Identity the metadata server gives a pod the pod's own identity, unless it is in the node's network.
    "GKE": CredentialPrograms(
        config="/etc/srv/kubernetes/cri_auth_config.yaml",
        bin_dir="/home/kubernetes/bin",
        asks_metadata_server=True,
    ),
    # Answers of the metadata server do not reach pods where its hop limit is 1, which is usual.
    "EKS": CredentialPrograms(
        config="/etc/eks/image-credential-provider/config.json",
        bin_dir="/etc/eks/image-credential-provider",
        asks_metadata_server=True,
    ),
    # azure.json, which the configuration names, says which identity of the node to ask the metadata server for.
    "AKS": CredentialPrograms(
        config="/var/lib/kubelet/credential-provider-config.yaml",
        bin_dir="/var/lib/kubelet/credential-provider",
        others=("/etc/kubernetes/azure.json",),
        asks_metadata_server=True,
    ),
}
"""By the name of the cloud."""
