"""`status`: what is known of the installations in a cluster."""

import time
from collections.abc import Sequence
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

    nodes: Annotated[bool, switch("List the nodes, those that need somebody first.", group=OUTPUT)] = False
    images: Annotated[
        bool, switch("List the images, with the number of different digests on the nodes.", group=OUTPUT)
    ] = False
    output: Annotated[Literal["table", "json"], flag("Output format.", group=OUTPUT)] = "table"


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

    pictures = run_interruptibly(partial(look_once, flags, name))
    now = time.time()

    def to_table(records: "Sequence[Picture]") -> str:
        return render_status(records, now, with_nodes=flags.nodes, with_images=flags.images)

    print_records(pictures, flags.output, to_table)
    return 0


async def look_once(flags: ClusterFlags, name: str | None) -> "list[Picture]":
    """Look at all installations, or those with the name, at the same time."""
    import trio  # noqa: PLC0415 - not for --help

    from nodeprefetch.cli.cluster_access import open_cluster  # noqa: PLC0415
    from nodeprefetch.cluster.installation import Installation, find_installations  # noqa: PLC0415
    from nodeprefetch.cluster.look import Observer  # noqa: PLC0415

    pictures: dict[int, Picture] = {}
    async with open_cluster(flags) as access:
        installations = await find_installations(access, flags.namespace, name)

        async def look(place: int, installation: Installation) -> None:
            pictures[place] = await Observer(access, installation).look()

        async with trio.open_nursery() as nursery:
            for place, installation in enumerate(installations):
                nursery.start_soon(look, place, installation)
    return [pictures[place] for place in sorted(pictures)]
