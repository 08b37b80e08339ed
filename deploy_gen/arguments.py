"""The command line: declares the flags, and reads them in any order and in the spellings that Go programs take."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NoReturn

from deploy_gen import __version__
from deploy_gen.images import DEFAULT_REPOSITORY, DEFAULT_VERSION
from deploy_gen.platforms import FLAVORS, INTEGRATIONS
from deploy_gen.problems import InputError

DEFAULT_LABEL_PREFIX = "nodeprefetch.io"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's flag package takes for the value of a switch."""

_PASSING_ON = frozenset({"--fetch-arg", "--aggregate-arg"})
"""Flags whose value may well be called as one of ours."""

_EPILOG = f"""\
Flags may come before and after NAME, with one dash or two, their values after a '=' or a blank.

  nodeprefetch-deploy web --images images.txt | kubectl apply -f -
  nodeprefetch-deploy web --namespace prefetch --secret registry --collect-metrics > web.yaml
  nodeprefetch-deploy web --k8s-flavor ocp --namespace prefetch --images images.txt | oc apply -f -

The list of images is the ConfigMap NAME, key images.txt. Without --images, make it yourself:

  kubectl create configmap web --from-file=images.txt

Exit codes: 0 the manifests were printed; 1 they could not be written; 2 something in the flags is wrong: all of it was
said, nothing was printed.
nodeprefetch-deploy {__version__}"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags' values, unchecked, and `names`. Ends the process for --help.

    Raises:
        InputError: with every flag that is unknown, lacks its value, or has one that it cannot have.
    """
    parser = _parser()
    flags, names, problems = _sort(argv, parser)
    found = parser.parse_args(flags)
    found.names = names
    found.problems = problems
    return found


def _sort(argv: Sequence[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str], list[str]]:
    """Flags as `--flag=value` and `--switch`; names; problems. A value may begin with a dash, as with Go."""
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
            problems.append(f"{argument!r}: there is no such flag")
        elif action.nargs == 0:
            if equals and value not in _TRUE | _FALSE:
                problems.append(f"{flag}: {value!r} is neither true nor false")
            elif not equals or value in _TRUE:
                flags.append(flag)
        elif equals:
            flags.append(f"{flag}={value}")
        else:
            following = next(rest, None)
            if following is not None and (flag in _PASSING_ON or following not in actions):
                flags.append(f"{flag}={following}")
                continue
            problems.append(f"{flag}: the value is missing")
            rest = chain([following] if following else [], rest)
    return flags, names, problems


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nodeprefetch-deploy",
        usage="nodeprefetch-deploy NAME [FLAG…]",
        description="Prints the Kubernetes manifests of an installation of nodeprefetch, called NAME.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_general(parser.add_argument_group("what is installed"))
    _add_nodes(parser.add_argument_group("which nodes, and what they are"))
    _add_credentials(parser.add_argument_group("logins at registries"))
    _add_fetch(parser.add_argument_group("fetching"))
    _add_results(parser.add_argument_group("results of all nodes"))
    return parser


def _add_general(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--namespace", default="default", metavar="NAMESPACE", help="where (default: default)")
    group.add_argument(
        "--images",
        action="append",
        default=[],
        metavar="FILE",
        help="list of images, put into the ConfigMap; - is standard input. Edits roll out",
    )
    group.add_argument(
        "--version", metavar="TAG", help=f"tag of our image (default: {DEFAULT_VERSION}); Go's versions of commits too"
    )
    group.add_argument(
        "--image", metavar="REPOSITORY", help=f"our image: a mirror of yours (default: {DEFAULT_REPOSITORY})"
    )
    group.add_argument(
        "--image-pull-secret", action="append", default=[], metavar="SECRET", help="for our image; repeatable"
    )
    group.add_argument("--output", default="yaml", metavar="FORMAT", help="yaml (default) or json")


def _add_nodes(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--k8s-flavor", default="vanilla", metavar="FLAVOR", help=f"{', '.join(FLAVORS)} (default: vanilla)"
    )
    group.add_argument("--cri-socket", metavar="PATH", help="of the container runtime, on the node (default: flavor's)")
    group.add_argument(
        "--selinux-type", metavar="TYPE", help="of the fetch container (default: the runtime's; for ocp spc_t)"
    )
    group.add_argument(
        "--node-selector", action="append", default=[], metavar="KEY=VALUE", help="nodes with this label; repeatable"
    )
    group.add_argument(
        "--toleration",
        action="append",
        default=[],
        metavar="TAINT",
        help="KEY[=VALUE][:EFFECT], tolerated in place of all taints; repeatable",
    )
    group.add_argument("--no-tolerate-all", action="store_true", help="leave out nodes with taints")
    group.add_argument(
        "--priority-class",
        default="",
        metavar="NAME",
        help="of the fetch pods; for a system-… class with the ResourceQuota that it may need",
    )
    group.add_argument(
        "--max-unavailable", default="100%", metavar="N", help="fetch pods replaced at once, N or N%% (default: 100%%)"
    )


def _add_credentials(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--secret", action="append", default=[], metavar="SECRET", help="pull secret for the list's images; repeatable"
    )
    group.add_argument(
        "--use-kubelet-image-credential-integration",
        default="",
        metavar="CLOUD",
        help=f"the kubelet's credential programs of {', '.join(INTEGRATIONS)}",
    )
    group.add_argument("--image-credential-provider-config", metavar="PATH", help="the same elsewhere: configuration")
    group.add_argument("--image-credential-provider-bin-dir", metavar="DIR", help="and directory of the programs")
    group.add_argument(
        "--host-network", action="store_true", help="fetch in the node's network: for such programs of other clouds"
    )


def _add_fetch(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--fetch-arg", action="append", default=[], metavar="ARG", help="passed on to nodeprefetch fetch; repeatable"
    )
    group.add_argument(
        "--allow-failures", action="store_true", help="the pod gets ready also when an image is not present"
    )
    group.add_argument(
        "--node-label-prefix",
        default=DEFAULT_LABEL_PREFIX,
        metavar="PREFIX",
        help=f"of the node's label PREFIX/NAME (default: {DEFAULT_LABEL_PREFIX})",
    )
    group.add_argument(
        "--restrict-node-access",
        action="store_true",
        help="let the API server refuse all changes of nodes but that label's, on the pod's own node",
    )


def _add_results(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--collect-metrics", action="store_true", help="install the aggregator")
    group.add_argument(
        "--aggregate-arg", action="append", default=[], metavar="ARG", help="passed on to it; repeatable"
    )
    group.add_argument("--expose", metavar="TYPE", help="its Service: ClusterIP (default) or LoadBalancer")
    group.add_argument("--persist", metavar="SIZE", help="keep results on a volume of this size, such as 1Gi")
    group.add_argument("--service-monitor", action="store_true", help="have the Prometheus operator scrape it")
    group.add_argument("--network-policy", action="store_true", help="allow only the connections that are needed")
