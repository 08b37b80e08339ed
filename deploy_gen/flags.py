"""Declares the flags of the command line."""

import argparse

from deploy_gen.images import DEFAULT_REPOSITORY, DEFAULT_VERSION
from deploy_gen.options import DIRECT, NODE_ACCESS
from deploy_gen.platforms import CLOUDS, CRIO_DOWNLOADS, CRIO_SOCKET, FLAVORS, GROWTHS

DEFAULT_LABEL_PREFIX = "nodeprefetch.io"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add all flags, in their groups."""
    _add_installation(parser.add_argument_group("Installation"))
    _add_credentials(parser.add_argument_group("Registry credentials"))
    _add_nodes(parser.add_argument_group("Nodes"))
    _add_pulls(parser.add_argument_group("Pulls and node label"))
    _add_new_nodes(parser.add_argument_group("New nodes"))
    _add_results(parser.add_argument_group("Results of all nodes"))
    _add_access(parser.add_argument_group("Access"))


def _add_installation(group: "argparse._ArgumentGroup") -> None:
    _add_value(group, "--namespace", "NAMESPACE", "Namespace to install into. Default: default.", default="default")
    _add_list(
        group,
        "--images",
        "FILE",
        "Image list to put into the ConfigMap NAME; '-' reads standard input. Changes trigger a rollout, except with"
        " --keep.",
    )
    _add_value(
        group,
        "--version",
        "TAG",
        f"Tag of the nodeprefetch image, also a Go pseudo-version. Default: {DEFAULT_VERSION}.",
    )
    _add_value(
        group,
        "--image",
        "REPOSITORY",
        f"Repository of the nodeprefetch image, e.g. a mirror. Default: {DEFAULT_REPOSITORY}.",
    )
    _add_list(group, "--image-pull-secret", "SECRET", "Pull secret for the nodeprefetch image. May be repeated.")
    _add_value(group, "--output", "FORMAT", "Output format, yaml or json. Default: yaml.", default="yaml")
    _add_value(
        group,
        "--output-dir",
        "DIR",
        "Write one file per object and a kustomization.yaml into this directory, for kustomize, Flux or Argo CD. Files"
        " that an earlier run wrote there are replaced, or deleted if they are no longer generated.",
    )


def _add_credentials(group: "argparse._ArgumentGroup") -> None:
    _add_list(group, "--secret", "SECRET", "Pull secret for the listed images. May be repeated.")
    _add_value(
        group,
        "--use-kubelet-image-credential-integration",
        "CLOUD",
        f"Use the kubelet's credential providers of {', '.join(CLOUDS)}.",
    )
    _add_value(
        group,
        "--image-credential-provider-config",
        "PATH",
        "Configuration of the kubelet's credential providers elsewhere.",
    )
    _add_value(
        group, "--image-credential-provider-bin-dir", "DIR", "Directory containing the binaries of those providers."
    )
    _add_switch(
        group,
        "--host-network",
        "Run fetch pods in the node's network, which such providers may need. Default: only with CLOUD.",
    )


def _add_nodes(group: "argparse._ArgumentGroup") -> None:
    _add_value(
        group,
        "--k8s-flavor",
        "FLAVOR",
        f"Kubernetes distribution: {', '.join(FLAVORS)}. Default: vanilla.",
        default="vanilla",
    )
    _add_list(group, "--node-selector", "KEY=VALUE", "Only nodes with this label. May be repeated.")
    _add_list(
        group,
        "--toleration",
        "TAINT",
        "Taint to tolerate, KEY[=VALUE][:EFFECT]. May be repeated. Default: all taints.",
    )
    _add_switch(group, "--no-tolerate-all", "Exclude nodes with taints, except startup taints that fetch pods remove.")
    _add_value(
        group,
        "--max-unavailable",
        "N",
        "Number or percentage of fetch pods that a rollout replaces at once. Default: 100%%.",
        default="100%",
    )
    _add_value(
        group,
        "--priority-class",
        "NAME",
        "Priority class of the fetch pods, or 'none'. For system-… classes, adds the ResourceQuota that they may need."
        " Default: system-node-critical if new nodes wait for their images, otherwise none.",
    )
    _add_value(
        group, "--cri-socket", "PATH", "Socket of the container runtime on the node. Default depends on --k8s-flavor."
    )
    _add_value(
        group,
        "--crio-download-dir",
        "PATH",
        f"Directory on the node where CRI-O keeps what it downloads, mounted read-only to show progress, or 'none'."
        f" Default: {CRIO_DOWNLOADS} for sockets called {CRIO_SOCKET}, as for ocp.",
    )
    _add_value(
        group,
        "--selinux-type",
        "TYPE",
        "SELinux type of the fetch container. Default: spc_t for ocp, otherwise the runtime's.",
    )


def _add_pulls(group: "argparse._ArgumentGroup") -> None:
    _add_list(group, "--fetch-arg", "ARG", "Argument to pass to 'nodeprefetch fetch'. May be repeated.")
    _add_switch(group, "--allow-failures", "Become ready even if some images could not be pulled.")
    _add_switch(
        group,
        "--keep",
        "Keep the images: pull again when the list is edited, without a rollout, an image is removed, or a tag moves.",
    )
    _add_value(
        group,
        "--once-for",
        "[NAMESPACE/]SELECTOR",
        "Pull only on nodes that run a pod with these labels (app=web) when the DaemonSet is applied; for a rollout."
        " Default: on all nodes.",
    )
    _add_value(
        group,
        "--check-every",
        "DURATION",
        "With --keep, interval between checks that all images are present. Default: 5m.",
    )
    _add_value(
        group,
        "--refresh-every",
        "DURATION",
        "With --keep, interval between requests whether a tag with the policy Always has moved; 'never' disables them."
        " Default: 1h.",
    )
    _add_value(
        group,
        "--report-every",
        "DURATION",
        "With --keep, interval between reports of all images to the aggregator and the node's condition, also if"
        " nothing has changed. Default: 1h.",
    )
    _add_value(
        group,
        "--spread",
        "TIME",
        "Duration over which nodes start to pull, each at its own place, or 'auto' (requires --registry-rate).",
    )
    _add_value(group, "--registry-rate", "RATE", "Requests that the registry takes (44000/m), for --spread auto.")
    _add_value(
        group,
        "--node-label-prefix",
        "PREFIX",
        f"Prefix of the node label PREFIX/NAME. Default: {DEFAULT_LABEL_PREFIX}.",
        default=DEFAULT_LABEL_PREFIX,
    )


def _add_new_nodes(group: "argparse._ArgumentGroup") -> None:
    _add_switch(group, "--node-condition", "Report the state of the images as a condition PREFIX/NAME of the node.")
    _add_list(
        group,
        "--remove-startup-taint",
        "TAINT",
        "Taint that keeps a new node closed, KEY[=VALUE][:EFFECT]; removed once all images are present. May be"
        " repeated.",
    )
    _add_switch(
        group,
        "--node-readiness-rule",
        "Also print a rule for the Node Readiness Controller, which then removes its taint from new nodes. Implies"
        " --node-condition.",
    )
    _add_switch(group, "--no-events", "Write no Kubernetes events about nodes.")
    _add_value(
        group,
        "--gate-timeout",
        "DURATION",
        "Open a new node after this time even if images are missing; 0 waits forever. Default: 15m.",
    )
    _add_value(
        group,
        "--gate-needs",
        "FILE",
        "Images of the list that a new node needs to open; the others may come later. Requires --images. Default: all.",
    )


def _add_results(group: "argparse._ArgumentGroup") -> None:
    _add_switch(group, "--collect-metrics", "Install the aggregator, which the flags below configure.")
    _add_list(group, "--aggregate-arg", "ARG", "Argument to pass to 'nodeprefetch aggregate'. May be repeated.")
    _add_value(group, "--persist", "SIZE", "Keep results on a volume of this size, e.g. 1Gi.")
    _add_value(group, "--expose", "TYPE", "Type of its Service, ClusterIP or LoadBalancer. Default: ClusterIP.")
    _add_value(group, "--pulling-nodes", "N", "Number of nodes that may pull at the same time. Default: no limit.")
    _add_value(
        group,
        "--growth",
        "MODE",
        f"How that number grows: {', '.join(GROWTHS)}. With doubling, as many nodes may pull as have all images.",
    )
    _add_switch(group, "--grafana-dashboard", "Create a dashboard, in a ConfigMap that Grafana's sidecar loads.")
    _add_switch(group, "--service-monitor", "Create a ServiceMonitor and alerts for the Prometheus operator.")


def _add_access(group: "argparse._ArgumentGroup") -> None:
    _add_value(
        group,
        "--node-access",
        "MODE",
        f"How fetch pods access nodes: {', '.join(NODE_ACCESS)}. With impersonate, they have no permission on nodes and"
        " act as their own node (Kubernetes 1.36 and newer). Default: direct.",
        default=DIRECT,
    )
    _add_switch(
        group,
        "--restrict-node-access",
        "Make the API server reject all other changes to nodes: of the pod's own node, only the node label and what the"
        " flags above report or remove.",
    )
    _add_switch(group, "--network-policy", "Allow only the connections to the pods that are needed.")
    _add_switch(
        group,
        "--reader-role",
        "Create permissions for people and jobs that ask about the installation ('nodeprefetch status', 'wait', 'why'),"
        " and the service account NAME-reader, which has them.",
    )


def _add_value(group: "argparse._ArgumentGroup", flag: str, metavar: str, text: str, *, default: str = "") -> None:
    group.add_argument(flag, metavar=metavar, default=default, help=text)


def _add_list(group: "argparse._ArgumentGroup", flag: str, metavar: str, text: str) -> None:
    group.add_argument(flag, action="append", metavar=metavar, default=[], help=text)


def _add_switch(group: "argparse._ArgumentGroup", flag: str, text: str) -> None:
    group.add_argument(flag, action="store_true", help=text)
