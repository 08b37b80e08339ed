"""`why`: why images are missing on a node."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from nodeprefetch.cli.cluster_flags import ClusterFlags, argument
from nodeprefetch.cli.flag_kinds import CLUSTER, OUTPUT, flag
from nodeprefetch.cli.output import print_records

if TYPE_CHECKING:
    from nodeprefetch.cluster.diagnosis import Diagnosis


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WhyFlags(ClusterFlags):
    """Which installation, and how to show it."""

    name: Annotated[
        str | None,
        flag("Name of an installation. Default: all that have a pod on the node.", group=CLUSTER, metavar="NAME"),
    ] = None
    output: Annotated[Literal["table", "json"], flag("Output format.", group=OUTPUT)] = "table"


def why(
    node: Annotated[str, argument("Name of the node.", "NODE")],
    image: Annotated[
        str | None,
        argument("Image, or the last parts of its name. Default: all that are not on the node.", "IMAGE"),
    ] = None,
    /,
    *,
    flags: WhyFlags = WhyFlags(),
) -> None:
    """Show why images are missing on a node: attempts, errors, what is in the way, and what to do.

    Raises:
        UsageError: a flag is invalid, or there is no such node, image or installation. May be in an exception group.
        NoAccessError: the cluster cannot be asked. The same.
    """
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help
    from nodeprefetch.cli.why_text import to_text  # noqa: PLC0415

    now = time.time()

    async def main() -> "list[Diagnosis]":
        from nodeprefetch.cli.cluster_access import open_cluster  # noqa: PLC0415
        from nodeprefetch.cluster.why import why as ask  # noqa: PLC0415

        async with open_cluster(flags) as access:
            return await ask(access, node, image, namespace=flags.namespace, name=flags.name, now=now)

    def to_table(diagnoses: "Sequence[Diagnosis]") -> str:
        return to_text(diagnoses, now=now)

    print_records(run_interruptibly(main), flags.output, to_table)
