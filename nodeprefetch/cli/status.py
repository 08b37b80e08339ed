"""`status`: what is known of the installations in a cluster."""

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from nodeprefetch.cli.cluster_flags import ClusterFlags, argument
from nodeprefetch.cli.flag_kinds import OUTPUT, flag, switch
from nodeprefetch.cli.output import print_records

if TYPE_CHECKING:
    from nodeprefetch.cluster.picture import Picture


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StatusFlags(ClusterFlags):
    """What to show."""

    nodes: Annotated[
        bool, switch("List the nodes, those that need somebody first.", group=OUTPUT, from_environment=False)
    ] = False
    images: Annotated[
        bool,
        switch(
            "List the images, with the number of different digests on the nodes.", group=OUTPUT, from_environment=False
        ),
    ] = False
    output: Annotated[Literal["table", "json"], flag("Output format.", group=OUTPUT)] = "table"
    watch: Annotated[
        bool,
        switch(
            "Look every 2 seconds until interrupted. On a terminal draws it again, elsewhere prints what has changed.",
            group=OUTPUT,
        ),
    ] = False


def status(
    name: Annotated[str | None, argument("Name of an installation. Default: all.", "NAME")] = None,
    /,
    *,
    flags: StatusFlags = StatusFlags(),
) -> int:
    """Show on how many nodes an installation has its images, why they are missing on others, and what to do.

    Raises:
        UsageError: a flag is invalid, or there is no such installation. May be in an exception group.
        NoAccessError: the cluster cannot be asked. The same.
    """
    from nodeprefetch.cli.status_text import render_status  # noqa: PLC0415 - not for --help
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415

    render = partial(render_status, with_nodes=flags.nodes, with_images=flags.images)
    if flags.watch:
        from nodeprefetch.cli.status_watch import watch_status  # noqa: PLC0415 - it loads what draws

        watch_status(flags, name, render, as_json=flags.output == "json")
        return 0
    pictures = run_interruptibly(partial(look_once, flags, name))
    print_records(pictures, flags.output, partial(render, now=time.time()))
    return 0


async def look_once(flags: ClusterFlags, name: str | None) -> "list[Picture]":
    """Look at all installations, or those with the name, at the same time."""
    from nodeprefetch.cli.cluster_access import open_cluster  # noqa: PLC0415 - not for --help
    from nodeprefetch.cluster.look_all import ObserverOfAll  # noqa: PLC0415

    async with open_cluster(flags) as access:
        return await ObserverOfAll(access, flags.namespace, name).look()
