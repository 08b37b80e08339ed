"""`wait`: waits until the nodes of an installation are warm, and shows what they lack meanwhile."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from nodeprefetch.cli.cluster_flags import ClusterFlags, InstallationName
from nodeprefetch.cli.flag_kinds import flag, many
from nodeprefetch.cli.flag_settings import read_seconds
from nodeprefetch.errors import Problems

if TYPE_CHECKING:
    from nodeprefetch.cluster.goal import Goal
    from nodeprefetch.cluster.picture import Picture

GOAL = Group.create_ordered("What to wait for")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WaitFlags(ClusterFlags):
    """What to wait for, and where."""

    nodes: Annotated[
        str, flag("Nodes that must be warm: a percentage, rounded up, or a number of nodes.", "N|PERCENT%", group=GOAL)
    ] = "100%"
    image: Annotated[
        tuple[str, ...],
        many("Image that the nodes must have. May be repeated. Default: all of the image list.", "IMAGE", GOAL),
    ] = ()
    timeout: Annotated[str, flag("How long to wait; 0 looks once.", "DURATION", group=GOAL)] = "20m"


def wait(name: InstallationName, /, *, flags: WaitFlags = WaitFlags()) -> int:
    """Wait until all nodes of an installation have its images, or some of both.

    Raises:
        UsageError: a flag is invalid, there is no such installation, or its list does not have an image asked for.
        NoAccessError: the cluster cannot be asked.
    """
    from nodeprefetch.cli.wait_run import run_wait  # noqa: PLC0415 - not for --help

    goal, limit = read_goal(flags)
    return run_wait(partial(open_look, name, flags), goal, limit, name=name)


def read_goal(flags: WaitFlags) -> "tuple[Goal, float]":
    """Return what is waited for, and the timeout in seconds.

    Raises:
        UsageError: with all invalid values.
    """
    from nodeprefetch.cluster.goal import Goal, parse_goal  # noqa: PLC0415 - not for --help

    problems = Problems()
    goal, limit = Goal(), 0.0
    with problems.collected():
        goal = parse_goal(flags.nodes, flags.image)
    with problems.collected():
        limit = read_seconds(flags, "timeout", may_be_zero=True)
    problems.raise_if_any()
    return goal, limit


@asynccontextmanager
async def open_look(name: str, flags: ClusterFlags) -> "AsyncGenerator[Callable[[], Awaitable[Picture]]]":
    """Open the cluster. Returns a function that looks at the installation, which it finds when it is first called."""
    from nodeprefetch.cli.cluster_access import open_cluster  # noqa: PLC0415 - not for --help
    from nodeprefetch.cluster.installation import find_installation  # noqa: PLC0415
    from nodeprefetch.cluster.look import Observer  # noqa: PLC0415

    async with open_cluster(flags) as access:
        observers: list[Observer] = []

        async def look() -> "Picture":
            if not observers:
                observers.append(Observer(access, await find_installation(access, flags.namespace, name)))
            return await observers[0].look()

        yield look
