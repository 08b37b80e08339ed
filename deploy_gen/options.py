"""What an installation is to be: frozen, checked (`reading.py` does it), and all that the manifests are made of."""

from dataclasses import dataclass

from deploy_gen.images import Image
from deploy_gen.platforms import OPENSHIFT, CredentialPrograms


@dataclass(frozen=True, kw_only=True, slots=True)
class Toleration:
    """Of a taint; what is empty stands for any."""

    key: str = ""
    value: str | None = None
    effect: str = ""


TOLERATE_ALL = Toleration()


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """An installation."""

    name: str
    namespace: str
    image: Image
    flavor: str
    cri_socket: str
    """On the node; its directory is mounted."""

    selinux_type: str
    """Of the fetch container; empty: the runtime's default."""

    secrets: tuple[str, ...]
    """Pull secrets for the images of the list."""

    image_pull_secrets: tuple[str, ...]
    """Pull secrets for our own image."""

    credentials: CredentialPrograms | None
    host_network: bool
    """Fetch pods are in their node's network."""

    images: str | None
    """The list, for a ConfigMap of ours; None: the ConfigMap is made by somebody else."""

    fetch_args: tuple[str, ...]
    allow_failures: bool
    node_label_prefix: str
    restrict_node_access: bool
    termination_grace: int
    """Seconds that a fetch pod has when it is stopped; the report must have come out by then."""

    node_selector: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]
    priority_class: str
    max_unavailable: int | str

    collect_metrics: bool
    aggregate_args: tuple[str, ...]
    expose: str
    """Type of the aggregator's Service."""

    persist: str
    """Size of the aggregator's volume; empty: its results live as long as its pod."""

    service_monitor: bool
    network_policy: bool
    output: str

    @property
    def is_openshift(self) -> bool:
        """User IDs are given by the cluster there, and hostPath needs a right of its own."""
        return self.flavor == OPENSHIFT
