"""What commands that look after our things in containerd share: whose things, and how containerd is asked."""

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from nodeprefetch.cli.flags import flag, switch
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.text.outlet import write
from nodeprefetch.text.printable import printable

if TYPE_CHECKING:
    from nodeprefetch.runtime.api import ContainerdApi
    from nodeprefetch.runtime.connect import Connect

Found = TypeVar("Found")

ANSWER_LIMIT = 60.0
"""Seconds in which containerd has to answer everything."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OwnerFlags:
    """Whose things, where they are, and how to print them."""

    instance: Annotated[
        str | None, flag("Whose they are; without it those of INSTANCE_NAME in the environment.", "NAME")
    ] = None
    all: Annotated[bool, switch("Those of all instances.")] = False
    cri_socket: Annotated[
        str | None,
        flag("Path of the container runtime's socket; without it the usual places are looked at.", "PATH"),
    ] = None
    output: Annotated[Literal["table", "json"], flag("How to print what was found.")] = "table"

    @property
    def owner(self) -> str | None:
        """The instance, empty for the one without a name; None: all of them."""
        if self.all:
            return None
        return self.instance if self.instance is not None else os.environ.get("INSTANCE_NAME", "")

    def connect(self) -> "Connect":
        """How the runtime is found, which has to be there now."""
        from nodeprefetch.runtime.connect import connect_to  # noqa: PLC0415 - not for --help

        return connect_to(self.cri_socket, wait=0, warn=_warn)


async def ask_containerd(
    connect: "Connect",
    ask: "Callable[[ContainerdApi], Awaitable[list[Found]]]",
    *,
    things: str,
    nothing_done: str,
    not_all_done: str,
) -> list[Found]:
    """What it answers; nothing, with a word about it, of a runtime that is not containerd.

    Args:
        connect: finds the runtime.
        ask: asks its own API.
        things: what of ours is looked for, in the plural.
        nothing_done: what an error says when nothing could be asked.
        not_all_done: what it says when the questions came to no end.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It comes in an exception group.
    """
    import trio  # noqa: PLC0415

    from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within  # noqa: PLC0415

    found: list[Found] = []
    async with trio.open_nursery() as connection:
        runtime = await connect(connection)
        if runtime.version.name != "containerd":
            _warn(f"{runtime.version.name} {runtime.version.version} holds no {things} of ours: it needs containerd")
        elif runtime.containerd is None:
            raise RuntimeUnavailableError(f"{nothing_done}: containerd does not answer over its own API")
        else:
            try:
                with answered_within(ANSWER_LIMIT):
                    found = await ask(runtime.containerd)
            except RuntimeFaultError as error:
                raise RuntimeUnavailableError(f"{not_all_done}: {error}") from error
        connection.cancel_scope.cancel()
    return found


def owner_text(instance: str) -> str:
    """An instance's name, for people."""
    return instance or "(without a name)"


def _warn(text: str) -> None:
    write(sys.stderr, f"nodeprefetch: {printable(text)}\n")
