"""The flags of the commands for people: which cluster, which installation, and what to ask."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from nodeprefetch.cli.flag_kinds import CLUSTER


def _flag(text: str, metavar: str, *names: str) -> Parameter:
    return Parameter(name=names or None, help=text, metavar=metavar, negative="", group=CLUSTER)


def argument(text: str, metavar: str) -> Parameter:
    """An argument that is no flag, so that no variable stands for it."""
    return Parameter(metavar=metavar, help=text, group=CLUSTER, show_env_var=False)


InstallationName = Annotated[str, argument("Name of the installation, which is that of its DaemonSet.", "NAME")]


KUBECONFIG = _flag("Kubeconfig. Default: $KUBECONFIG, ~/.kube/config, or the service account of this pod.", "FILE")
CONTEXT = _flag("Context of the kubeconfig. Default: its current one.", "NAME")


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
    kubeconfig: Annotated[str | None, KUBECONFIG] = None
    context: Annotated[str | None, CONTEXT] = None
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
