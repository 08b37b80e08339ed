"""The options of an installation: validated by `parse.py`, and the only input of the manifests."""

from dataclasses import dataclass

from deploy_gen.images import ProgramImage
from deploy_gen.platforms import OPENSHIFT, CredentialProviders
from deploy_gen.pod_selector import PodSelector


@dataclass(frozen=True, kw_only=True, slots=True)
class Toleration:
    """Toleration of a taint. An empty field matches any."""

    key: str = ""
    value: str | None = None
    effect: str = ""


TOLERATE_ALL = Toleration()


@dataclass(frozen=True, kw_only=True, slots=True)
class Taint:
    """Taints of a node, as `fetch --remove-taint` takes them."""

    key: str
    value: str | None = None
    """None: any."""

    effect: str = ""
    """Empty: any."""

    def __str__(self) -> str:
        """Write it as `kubectl taint` does."""
        value = f"={self.value}" if self.value is not None else ""
        return f"{self.key}{value}{f':{self.effect}' if self.effect else ''}"


NODE_ACCESS = DIRECT, IMPERSONATE = "direct", "impersonate"
"""Ways of fetch pods to nodes: with their account's own rights, or as their node (KEP-5284, Kubernetes 1.36)."""

AUTO = "auto"
"""Spread that `fetch` computes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Options of one installation."""

    name: str
    namespace: str
    image: ProgramImage
    flavor: str
    cri_socket: str
    """Path on the node. Its directory is mounted."""

    crio_download_dir: str
    """Directory on the node where CRI-O keeps what it downloads. Empty: not mounted."""

    selinux_type: str
    """SELinux type of the fetch container. Empty: the runtime's default."""

    secrets: tuple[str, ...]
    """Pull secrets for the listed images."""

    image_pull_secrets: tuple[str, ...]
    """Pull secrets for the nodeprefetch image."""

    credentials: CredentialProviders | None
    host_network: bool
    """Whether fetch pods use the node's network."""

    images: str | None
    """Content of the list's ConfigMap. None: the user creates it."""

    fetch_args: tuple[str, ...]
    allow_failures: bool
    keep: bool
    """Whether pods keep the images after the first run."""

    check_every: str
    refresh_every: str
    report_every: str
    """Intervals of `keep`. Empty: its defaults."""

    once_for: PodSelector | None = None
    """Pods for which nodes pull: those without one pull nothing. None: all nodes pull."""

    spread: str
    """Duration over which nodes start to pull, or `auto`. Empty: all at once, or by tickets."""

    registry_rate: str
    """Requests that the registry takes, for `auto`."""

    node_label_prefix: str
    node_condition: bool = False
    """Whether fetch pods report a condition of their node, of the type that is the label's key."""

    startup_taints: tuple[Taint, ...] = ()
    """Taints that fetch pods remove from their node."""

    gate_timeout: str = ""
    """Duration after which nodes open without all images. Empty: the default of `fetch`."""

    gate_needs: str | None = None
    """Content of the list of images that nodes need to open. None: all."""

    readiness_rule: bool = False
    """Whether to print a rule for the Node Readiness Controller."""

    events: bool = True
    """Whether fetch pods write events about their node."""

    node_access: str = DIRECT
    restrict_node_access: bool
    termination_grace: int
    """Seconds from SIGTERM to SIGKILL of a fetch pod; enough to deliver its results."""

    overall_timeout: int
    """Seconds that a run may take."""

    node_selector: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]
    priority_class: str
    max_unavailable: int | str

    collect_metrics: bool
    aggregate_args: tuple[str, ...]
    expose: str
    """Type of the aggregator's Service."""

    persist: str
    """Size of the aggregator's volume. Empty: results are lost with its pod."""

    pulling_nodes: int | None
    """How many nodes may pull at the same time. None: no limit."""

    growth: str
    """How that number grows."""

    service_monitor: bool
    grafana_dashboard: bool
    reader_role: bool
    """Whether to print an account and permissions for readers."""

    network_policy: bool
    output: str
    output_dir: str = ""
    """Directory for one file per object. Empty: standard output."""

    @property
    def node_key(self) -> str:
        """Key of the node's label, and type of its condition."""
        return f"{self.node_label_prefix}/{self.name}"

    @property
    def has_gate(self) -> bool:
        """Whether something keeps new nodes closed until fetch pods open them."""
        return self.node_condition or bool(self.startup_taints)

    @property
    def counts_nodes(self) -> bool:
        """Whether fetch pods read the number of nodes from the DaemonSet."""
        return self.spread == AUTO

    @property
    def is_openshift(self) -> bool:
        """Whether the cluster assigns user IDs, and hostPath needs a permission of its own."""
        return self.flavor == OPENSHIFT
