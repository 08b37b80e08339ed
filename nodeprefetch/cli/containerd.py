"""Shared by the commands that manage pins and leases in containerd: which instance's, and how to ask containerd."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flag_kinds import INSTANCE, OUTPUT, flag, switch
from nodeprefetch.cli.flags import CriSocket
from nodeprefetch.cli.output import warn
from nodeprefetch.errors import RuntimeUnavailableError

if TYPE_CHECKING:
    from nodeprefetch.runtime.api import ContainerdApi
    from nodeprefetch.runtime.connect import Connect

T = TypeVar("T")

ANSWER_LIMIT = 60.0
"""Seconds that containerd has to answer all calls of a command."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OwnerFlags:
    """Which instance to act on, through which socket, and how to print the result."""

    instance: Annotated[str | None, flag("Instance to act on. Default: $INSTANCE_NAME.", "NAME", group=INSTANCE)] = None
    all: Annotated[bool, switch("Act on all instances.", group=INSTANCE, from_environment=False)] = False
    cri_socket: CriSocket = None
    output: Annotated[Literal["table", "json"], flag("Output format.", group=OUTPUT)] = "table"

    def owner(self, environment: Environment) -> str | None:
        """The instance to act on, empty for the one without a name; None: all instances."""
        if self.all:
            return None
        return self.instance if self.instance is not None else environment.instance_name

    def connect(self, environment: Environment) -> "Connect":
        """Returns a function that connects to the runtime, without waiting for it to start."""
        from nodeprefetch.runtime.connect import connect_to  # noqa: PLC0415 - not for --help

        return connect_to(self.cri_socket, wait=0, environment=environment.variables, warn=warn)


async def ask_containerd(
    connect: "Connect",
    ask: "Callable[[ContainerdApi], Awaitable[list[T]]]",
    *,
    nothing_done: str,
    not_all_done: str,
    hint: str = "",
) -> list[T]:
    """Call `ask` with containerd's API. For other runtimes: print a warning and return an empty list.

    Args:
        connect: finds the runtime.
        ask: makes the calls.
        nothing_done: beginning of the error if containerd's API is unavailable.
        not_all_done: beginning of the error if a call fails.
        hint: what to do then.

    Raises:
        RuntimeUnavailableError: the runtime did not respond. It comes in an exception group.
    """
    import trio  # noqa: PLC0415

    from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within  # noqa: PLC0415

    answer: list[T] = []
    async with trio.open_nursery() as connection:
        runtime = await connect(connection)
        if runtime.version.name != "containerd":
            version = f"{runtime.version.name} {runtime.version.version}"
            warn(f"this command needs containerd, but the runtime is {version}")
        elif runtime.containerd is None:
            raise RuntimeUnavailableError(f"{nothing_done}: containerd API unavailable")
        else:
            try:
                with answered_within(ANSWER_LIMIT):
                    answer = await ask(runtime.containerd)
            except RuntimeFaultError as error:
                problem = f"{not_all_done}: {error}" + (f" ({hint})" if hint else "")
                raise RuntimeUnavailableError(problem) from error
        connection.cancel_scope.cancel()
    return answer


def owner_text(instance: str) -> str:
    """The name of an instance, for tables."""
    return instance or "(without a name)"
