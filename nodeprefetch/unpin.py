"""`unpin`: takes away pins that runs of fetch have made, and tells which."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from nodeprefetch.columns import columns
from nodeprefetch.errors import RuntimeUnavailableError
from nodeprefetch.flags import flag, switch

if TYPE_CHECKING:
    from nodeprefetch.runtime.containerdapi import ContainerdApi
    from nodeprefetch.runtime.discovery import Connect

ANSWER_LIMIT = 60.0
"""Seconds in which the runtime has to answer everything."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class UnpinFlags:
    """Whose pins."""

    instance: Annotated[
        str | None, flag("Whose pins are taken away; without it those of INSTANCE_NAME in the environment.", "NAME")
    ] = None
    all: Annotated[bool, switch("Those of all instances.")] = False
    cri_socket: Annotated[
        str | None,
        flag("Path of the container runtime's socket; without it the usual places are looked at.", "PATH"),
    ] = None
    output: Annotated[Literal["table", "json"], flag("How to print what was done.")] = "table"


class Unpinned(msgspec.Struct, frozen=True, kw_only=True):
    """One image whose pin was taken away, or would have been."""

    image_id: str
    names: tuple[str, ...]
    instances: tuple[str, ...]
    """That wanted it pinned until now; empty for the one without a name."""

    still_pinned_by: tuple[str, ...]
    """That want it pinned still; where there are any, it is."""


def unpin(*, flags: UnpinFlags = UnpinFlags()) -> None:
    """Take away the pins that runs of this instance have made, and only those.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It may come in an exception group.
    """
    import trio  # noqa: PLC0415 - not for --help

    from nodeprefetch.runtime.discovery import connect_to  # noqa: PLC0415

    instance = flags.instance if flags.instance is not None else os.environ.get("INSTANCE_NAME", "")
    connect = connect_to(flags.cri_socket, wait=0, complain=_warn)
    found = trio.run(take_away, connect, None if flags.all else instance)
    text = _to_json(found) if flags.output == "json" else _to_table(found)
    sys.stdout.write(text + "\n")


async def take_away(connect: "Connect", instance: str | None) -> list[Unpinned]:
    """Take away the pins of one instance; None: of all. Tells what was done.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It comes in an exception group.
    """
    import trio  # noqa: PLC0415

    from nodeprefetch.runtime.faults import RuntimeFaultError  # noqa: PLC0415

    found: list[Unpinned] = []
    async with trio.open_nursery() as connection:
        runtime = await connect(connection)
        if runtime.version.name != "containerd":
            _warn(f"{runtime.version.name} {runtime.version.version} holds no pins of ours: it needs containerd")
        elif runtime.containerd is None:
            raise RuntimeUnavailableError("no pin was taken away: containerd does not answer over its own API")
        else:
            problem = ""
            try:
                with trio.fail_after(ANSWER_LIMIT):
                    found = await _release(runtime.containerd, instance)
            except RuntimeFaultError as error:
                problem = str(error)
            except trio.TooSlowError:
                problem = f"no answer in {ANSWER_LIMIT:g} s"
            if problem:
                raise RuntimeUnavailableError(f"not all pins are taken away, run it again: {problem}")
        connection.cancel_scope.cancel()
    return found


async def _release(api: "ContainerdApi", instance: str | None) -> list[Unpinned]:
    from nodeprefetch.runtime.pinlabels import mark_of, release  # noqa: PLC0415

    mine = None if instance is None else mark_of(instance)
    released = await release(api, await api.image_names(), lambda _, mark: mine in {None, mark})
    return [
        Unpinned(image_id=one.image_id, names=one.names, instances=one.instances, still_pinned_by=one.still)
        for one in released
    ]


def _to_json(found: Sequence[Unpinned]) -> str:
    """An array, one object an image."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def _to_table(found: Sequence[Unpinned]) -> str:
    """Columns of text, for people."""
    rows = [("IMAGE", "INSTANCE", "NOW")]
    for one in found:
        now = f"pinned by {_spoken(one.still_pinned_by)}" if one.still_pinned_by else "not pinned"
        rows.append((", ".join(one.names) or one.image_id, _spoken(one.instances), now))
    return columns(rows)


def _spoken(instances: Sequence[str]) -> str:
    return ", ".join(name or "(without a name)" for name in instances)


def _warn(text: str) -> None:
    sys.stderr.write(f"nodeprefetch: {text}\n")
