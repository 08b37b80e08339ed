"""Declares and parses the command line: flags in any order, in all spellings that Go programs accept."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NoReturn

from deploy_gen import __version__
from deploy_gen.images import DEFAULT_REPOSITORY, DEFAULT_VERSION
from deploy_gen.options import DIRECT, NODE_ACCESS
from deploy_gen.platforms import CLOUDS, FLAVORS, GROWTHS
from deploy_gen.problems import InputError

DEFAULT_LABEL_PREFIX = "nodeprefetch.io"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""Values of a switch that Go's flag package accepts."""

_PASS_THROUGH = frozenset({"--fetch-arg", "--aggregate-arg"})
"""Flags whose value may look like one of this program's flags."""

_EPILOG = f"""\
Flags may come before or after NAME, with one dash or two, and take their value after '=' or a space.

Examples:
  nodeprefetch-deploy web --images images.txt | kubectl apply -f -
  nodeprefetch-deploy web --namespace prefetch --secret registry --collect-metrics > web.yaml
  nodeprefetch-deploy web --k8s-flavor ocp --namespace prefetch --images images.txt | oc apply -f -

Without --images, create the ConfigMap NAME with the key images.txt yourself:
  kubectl create configmap web --from-file=images.txt

Exit codes:
  0  manifests printed
  1  cannot write to standard output
  2  invalid flags: all problems are reported, no manifests generated

nodeprefetch-deploy {__version__}"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the values of all flags, unvalidated, with `names` and `problems`. Ends the process for --help.

    Raises:
        InputError: argparse rejects a flag.
    """
    parser = new_parser()
    flags, names, problems = _sort(argv, parser)
    parsed = parser.parse_args(flags)
    parsed.names = names
    parsed.problems = problems
    return parsed


def _sort(argv: Sequence[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str], list[str]]:
    """Sort arguments into flags (as `--flag=value` or `--switch`), names and problems."""
    actions = {option: action for action in parser._actions for option in action.option_strings}  # noqa: SLF001
    flags: list[str] = []
    names: list[str] = []
    problems: list[str] = []
    rest: Iterator[str] = iter(argv)
    while (argument := next(rest, None)) is not None:
        if argument == "--":
            names.extend(rest)
            break
        if not argument.startswith("-") or argument == "-":
            names.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        flag = flag if flag == "-h" else "--" + flag.lstrip("-")
        action = actions.get(flag)
        if action is None:
            problems.append(f"{argument!r}: unknown flag")
        elif action.nargs == 0:
            if equals and value not in _TRUE | _FALSE:
                problems.append(f"{flag}: {value!r} must be true or false")
            elif not equals or value in _TRUE:
                flags.append(flag)
        elif equals:
            flags.append(f"{flag}={value}")
        else:
            following = next(rest, None)
            # As in Go, a value may begin with a dash.
            if following is not None and (flag in _PASS_THROUGH or following not in actions):
                flags.append(f"{flag}={following}")
                continue
            problems.append(f"{flag}: requires a value")
            rest = chain([following] if following else [], rest)
    return flags, names, problems


def new_parser() -> argparse.ArgumentParser:
    """Declare all flags."""
    parser = _Parser(
        prog="nodeprefetch-deploy",
        usage="nodeprefetch-deploy NAME [FLAG…]",
        description="Print the Kubernetes manifests of an installation of nodeprefetch called NAME.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    _add_installation(parser.add_argument_group("Installation"))
    _add_credentials(parser.add_argument_group("Registry credentials"))
    _add_nodes(parser.add_argument_group("Nodes"))
    _add_pulls(parser.add_argument_group("Pulls and node label"))
    _add_results(parser.add_argument_group("Results of all nodes"))
    _add_restrictions(parser.add_argument_group("Restrictions"))
    parser.add_argument_group("Help").add_argument("-h", "--help", action="help", help="Show this help.")
    return parser


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
    _add_switch(group, "--no-tolerate-all", "Exclude nodes with taints.")
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
        "Priority class of the fetch pods. For system-… classes, adds the ResourceQuota that they may need.",
    )
    _add_value(
        group, "--cri-socket", "PATH", "Socket of the container runtime on the node. Default depends on --k8s-flavor."
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
    _add_switch(group, "--service-monitor", "Create a ServiceMonitor for the Prometheus operator.")


def _add_restrictions(group: "argparse._ArgumentGroup") -> None:
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


def _add_value(group: "argparse._ArgumentGroup", flag: str, metavar: str, text: str, *, default: str = "") -> None:
    group.add_argument(flag, metavar=metavar, default=default, help=text)


def _add_list(group: "argparse._ArgumentGroup", flag: str, metavar: str, text: str) -> None:
    group.add_argument(flag, action="append", metavar=metavar, default=[], help=text)


def _add_switch(group: "argparse._ArgumentGroup", flag: str, text: str) -> None:
    group.add_argument(flag, action="store_true", help=text)
