"""The flags of the commands for people: which cluster, which installation, and what to ask."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

CLUSTER = Group.create_ordered("Cluster")


def _flag(text: str, metavar: str, *names: str) -> Parameter:
    return Parameter(name=names or None, help=text, metavar=metavar, negative="", group=CLUSTER)


InstallationName = Annotated[
    str, Parameter(metavar="NAME", help="Name of the installation: of its DaemonSet.", group=CLUSTER)
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ClusterFlags:
    """Where to look."""

    namespace: Annotated[
        str | None,
        _flag(
            "Namespace of the installation. Default: look in all, or, if that is not allowed, in the context's.",
            "NAMESPACE",
            "--namespace",
            "-n",
        ),
    ] = None
    kubeconfig: Annotated[
        str | None,
        _flag("Kubeconfig. Default: $KUBECONFIG, ~/.kube/config, or the service account of this pod.", "FILE"),
    ] = None
    context: Annotated[str | None, _flag("Context of the kubeconfig. Default: its current one.", "NAME")] = None
    aggregator: Annotated[
        str | None,
        _flag(
            "Address of the aggregator. Default: ask it through the API server (needs the right to get its Service's"
            " proxy).",
            "URL",
        ),
    ] = None
    aggregator_token_file: Annotated[
        str | None, _flag("Bearer token for --aggregator, if it runs with --auth-read.", "FILE")
    ] = None
