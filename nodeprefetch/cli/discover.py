"""`discover`: an image list, made from the manifests of what will run, or from what runs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from nodeprefetch.cli.cluster_flags import CONTEXT, KUBECONFIG
from nodeprefetch.cli.environment import read_environment
from nodeprefetch.cli.flag_kinds import CLUSTER, IMAGES, OUTPUT
from nodeprefetch.cli.flags import CredentialFlags
from nodeprefetch.cli.inputs import load_credential_plugins, read_images
from nodeprefetch.cli.output import print_records, to_json, warn
from nodeprefetch.errors import Problems
from nodeprefetch.text.outlet import write
from nodeprefetch.text.printable import printable
from nodeprefetch.values.image_ref import quote

if TYPE_CHECKING:
    from nodeprefetch.discover.images import Difference, FoundImage
    from nodeprefetch.kube.running_pods import RunningPod

_SHOWN = 4
"""Objects that the comment of a line names."""

FOUND, NOTHING_FOUND, DIFFERENT = 0, 1, 1


def _flag(text: str, metavar: str | None, group: Group, *names: str) -> Parameter:
    """A flag without a variable: what a list contains is to depend on its command line alone."""
    return Parameter(
        name=names or None, help=text, metavar=metavar, negative="", group=group, show_default=False, show_env_var=False
    )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DiscoverFlags(CredentialFlags):
    """Which images to print, and how."""

    cluster: Annotated[
        bool, _flag("Print the images of the pods that run in the cluster, with those of PATH.", None, CLUSTER)
    ] = False
    namespace: Annotated[
        str | None, _flag("Only pods in this namespace. Default: all.", "NAMESPACE", CLUSTER, "--namespace", "-n")
    ] = None
    all_namespaces: Annotated[
        bool, _flag("In all namespaces, which is the default.", None, CLUSTER, "--all-namespaces", "-A")
    ] = False
    selector: Annotated[
        str, _flag("Only pods with these labels, as for kubectl.", "SELECTOR", CLUSTER, "--selector", "-l")
    ] = ""
    node: Annotated[str, _flag("Only pods on this node.", "NODE", CLUSTER)] = ""
    min_nodes: Annotated[int, _flag("Only images of pods on at least so many nodes.", "N", CLUSTER)] = 0
    kubeconfig: Annotated[str | None, KUBECONFIG] = None
    context: Annotated[str | None, CONTEXT] = None
    guess: Annotated[
        bool,
        _flag(
            "Also print texts anywhere that look like names of images, marked as guessed: in arguments, ConfigMaps,"
            " values of charts.",
            None,
            IMAGES,
        ),
    ] = False
    registry: Annotated[
        tuple[str, ...], _flag("Print only images of this registry. May be repeated. Default: all.", "HOST", IMAGES)
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        _flag(
            "Leave out images with such names; * and ? stand for any characters. May be repeated.", "PATTERN", IMAGES
        ),
    ] = ()
    resolve: Annotated[
        bool,
        _flag(
            "Pin each tag to the digest that it stands for now. Asks registries, with the credentials of fetch.",
            None,
            IMAGES,
        ),
    ] = False
    output: Annotated[Literal["list", "json"], _flag("Output format. Default: list.", None, OUTPUT)] = "list"
    diff: Annotated[
        str | None,
        _flag("Print what came (+) and went (-) since this list was made. Exits 1 if something did.", "FILE", OUTPUT),
    ] = None


def discover(
    *manifests: Annotated[
        str,
        Parameter(
            metavar="PATH",
            help="Files or directories with manifests in YAML or JSON. '-': standard input.",
            group=IMAGES,
            show_env_var=False,
            allow_leading_hyphen=True,  # for `-`
        ),
    ],
    flags: DiscoverFlags = DiscoverFlags(),
) -> int:
    """Print the images that Kubernetes manifests name, or that run in a cluster, as a list for fetch.

    Raises:
        UsageError: something cannot be read, or has a text that cannot be an image in the place of one.
        NoAccessError: the cluster cannot be asked. May be in an exception group.
    """
    from nodeprefetch.discover.documents import read_documents  # noqa: PLC0415 - not for --help
    from nodeprefetch.discover.images import Choice, difference, places_in, sum_up  # noqa: PLC0415
    from nodeprefetch.discover.running import running_places  # noqa: PLC0415

    problems = Problems()
    problems.add(*_problems(manifests, flags))
    with problems.collected():
        old = read_images([flags.diff], ()) if flags.diff is not None else None
    problems.raise_if_any()
    read = read_documents(manifests)
    places = [*places_in(read.documents, with_guesses=flags.guess), *running_places(_running_pods(flags))]
    choice = Choice(registries=flags.registry, excluded=flags.exclude, min_nodes=flags.min_nodes)
    found = sum_up(places, choice)
    problems.add(*read.problems, *(f"{each} (--exclude leaves it out)" for each in found.problems))
    problems.raise_if_any()
    images = _resolved(found.images, flags) if flags.resolve else found.images
    if old is not None:
        return _print_difference(difference(images, old), flags.output)
    if not images:
        warn("no images found" + ("" if flags.guess else "; --guess looks for names in all texts"))
        return NOTHING_FOUND
    print_records(images, flags.output, _list)
    return FOUND


def _problems(manifests: Sequence[str], flags: DiscoverFlags) -> list[str]:
    found = [f"unknown flag {quote(each)}" for each in manifests if each.startswith("-") and each != "-"]
    if not (manifests or flags.cluster):
        found.append("no manifests given; name files or directories, - for standard input, or --cluster")
    if flags.namespace and flags.all_namespaces:
        found.append("--namespace and --all-namespaces exclude each other")
    if not flags.cluster:
        given = {
            "--namespace": flags.namespace,
            "--all-namespaces": flags.all_namespaces,
            "--selector": flags.selector,
            "--node": flags.node,
            "--min-nodes": flags.min_nodes,
        }
        found += [f"{name} requires --cluster" for name, value in given.items() if value]
    return found


def _running_pods(flags: DiscoverFlags) -> "Sequence[RunningPod]":
    if not flags.cluster:
        return ()
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help

    return run_interruptibly(partial(_list_pods, flags))


async def _list_pods(flags: DiscoverFlags) -> "list[RunningPod]":
    from nodeprefetch.cluster.access import open_reads  # noqa: PLC0415 - not for --help

    variables = read_environment().variables
    async with open_reads(environment=variables, kubeconfig=flags.kubeconfig, context=flags.context) as kube:
        return await kube.running_pods(flags.namespace, selector=flags.selector, node=flags.node)


def _resolved(images: "Sequence[FoundImage]", flags: DiscoverFlags) -> "Sequence[FoundImage]":
    """Return the images with digests.

    Raises:
        UsageError: with every image whose digest is not known, and why.
    """
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help
    from nodeprefetch.credentials.chain import open_chain  # noqa: PLC0415
    from nodeprefetch.discover.resolve import resolved  # noqa: PLC0415
    from nodeprefetch.text.known_secrets import knowing_secrets  # noqa: PLC0415

    variables = read_environment().variables
    plugins = load_credential_plugins(flags, variables, warn)

    async def main() -> "Sequence[FoundImage]":
        async with open_chain(plugins, warn) as credentials:
            return await resolved(images, credentials, variables)

    with knowing_secrets():
        return run_interruptibly(main)


def _list(images: "Sequence[FoundImage]") -> str:
    """Format a list for fetch, with a comment for each image: how often it is named, and by which objects."""
    return "\n".join(printable(f"{image.image}  # {_comment(image)}") for image in images)


def _comment(image: "FoundImage") -> str:
    from nodeprefetch.cluster.picture import node_count  # noqa: PLC0415 - not for --help

    objects = list(dict.fromkeys(place.object_name or place.source for place in image.places))
    shown = ", ".join(objects[:_SHOWN])
    more = f" and {len(objects) - _SHOWN} more" if len(objects) > _SHOWN else ""
    guessed = "guessed, " if image.guessed else ""
    nodes = f" on {node_count(image.nodes)}" if image.nodes else ""
    digests = f", {len(image.digests)} digests" if len(image.digests) > 1 else ""
    return f"{guessed}{len(image.places)}x{nodes} in {shown}{more}{digests}"


def _print_difference(found: "Difference", output: str) -> int:
    lines = [f"+ {image}" for image in found.added] + [f"- {image}" for image in found.removed]
    if output == "json":
        write(sys.stdout, to_json(found) + "\n")
    elif lines:
        write(sys.stdout, "\n".join(lines) + "\n")
    return DIFFERENT if lines else FOUND
