"""Opens what the commands for people need: the cluster that the flags name."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

from cyclopts import App, CycloptsError, Parameter

from nodeprefetch.cli.cluster_flags import ClusterFlags
from nodeprefetch.cli.environment import read_environment
from nodeprefetch.cli.flag_variables import PREFIX
from nodeprefetch.cli.flags import Images, KeepFlags
from nodeprefetch.cli.once_flags import OnceFlags
from nodeprefetch.cluster.access import ClusterAccess, open_access
from nodeprefetch.cluster.arguments import PullArguments
from nodeprefetch.errors import UsageError
from nodeprefetch.submit.destination import Destination, read_destination


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class _AllFlags(KeepFlags, OnceFlags):
    """Those of `fetch` and of `keep`."""


@asynccontextmanager
async def open_cluster(flags: ClusterFlags) -> AsyncGenerator[ClusterAccess]:
    """Open the cluster that the flags name.

    Raises:
        UsageError: a flag is invalid.
        NoAccessError: see `open_access`.
    """
    async with open_access(
        parse=parse_pull_arguments,
        environment=read_environment().variables,
        kubeconfig=flags.kubeconfig,
        context=flags.context,
        destination=_destination(flags),
    ) as access:
        yield access


def parse_pull_arguments(words: Sequence[str], variables: Mapping[str, str]) -> PullArguments:
    """Parse the words of a container, from `fetch` or `keep` on, with the flags of these commands.

    Raises:
        UsageError: the command line is invalid for this version.
    """
    try:
        images, flags = _parser()(list(words[1:]))
    except CycloptsError as error:
        raise UsageError([" ".join(str(error).split())]) from None
    defaults = KeepFlags()

    def variable(name: str) -> str:
        return variables.get(f"{PREFIX}{name}", "")

    prefix, endpoint = flags.node_label_prefix, flags.metrics_endpoint
    return PullArguments(
        list_files=flags.image_list_file or tuple(variable("IMAGE_LIST_FILE").split()),
        images=images,
        label_prefix=(prefix == defaults.node_label_prefix and variable("NODE_LABEL_PREFIX")) or prefix,
        metrics_endpoint=endpoint or variable("METRICS_ENDPOINT"),
        remove_taints=flags.remove_taint or tuple(variable("REMOVE_TAINT").split()),
        is_keep=words[0] == "keep",
    )


@cache
def _parser() -> App:
    """A parser of these flags that does not look at our own environment."""
    parser = App(result_action="return_value", exit_on_error=False, print_error=False, help_on_error=False, config=())

    @parser.default
    def parsed(*images: Images, flags: _AllFlags = _AllFlags()) -> tuple[tuple[str, ...], KeepFlags]:
        return images, flags

    return parser


def _destination(flags: ClusterFlags) -> Destination | None:
    if flags.aggregator is None:
        if flags.aggregator_token_file is not None:
            raise UsageError(["--aggregator-token-file requires --aggregator"])
        return None
    try:
        return read_destination(flags.aggregator, token_file=flags.aggregator_token_file)
    except UsageError as error:
        raise UsageError([f"--aggregator: {problem}" for problem in error.problems]) from error
