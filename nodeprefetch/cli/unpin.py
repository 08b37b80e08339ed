"""`unpin`: takes away pins that runs of fetch have made, and tells which."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nodeprefetch.cli.columns import columns
from nodeprefetch.cli.containerd import OwnerFlags, ask_containerd, owner_text
from nodeprefetch.text.outlet import write
from nodeprefetch.text.printable import json_text

if TYPE_CHECKING:
    from nodeprefetch.runtime.api import ContainerdApi
    from nodeprefetch.runtime.connect import Connect


_THIS_INSTANCE = OwnerFlags()


class Unpinned(msgspec.Struct, frozen=True, kw_only=True):
    """One image whose pin was taken away, or would have been."""

    image_id: str
    names: tuple[str, ...]
    instances: tuple[str, ...]
    """That wanted it pinned until now; empty for the one without a name."""

    still_pinned_by: tuple[str, ...]
    """That want it pinned still; where there are any, it is."""


def unpin(*, flags: OwnerFlags = _THIS_INSTANCE) -> None:
    """Take away the pins that runs of this instance have made, and only those.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It may come in an exception group.
    """
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help

    found = run_interruptibly(take_away, flags.connect(), flags.owner)
    text = _to_json(found) if flags.output == "json" else _to_table(found)
    write(sys.stdout, text + "\n")


async def take_away(connect: "Connect", instance: str | None) -> list[Unpinned]:
    """Take away the pins of one instance; None: of all. Tells what was done.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It comes in an exception group.
    """
    return await ask_containerd(
        connect,
        lambda api: _release(api, instance),
        things="pins",
        nothing_done="no pin was taken away",
        not_all_done="not all pins are taken away, run it again",
    )


async def _release(api: "ContainerdApi", instance: str | None) -> list[Unpinned]:
    from nodeprefetch.runtime.pin_labels import mark_of, release  # noqa: PLC0415

    mine = None if instance is None else mark_of(instance)
    released = await release(api, await api.image_names(), lambda _, mark: mine in {None, mark})
    return [
        Unpinned(image_id=one.image_id, names=one.names, instances=one.instances, still_pinned_by=one.still)
        for one in released
    ]


def _to_json(found: Sequence[Unpinned]) -> str:
    """An array, one object an image."""
    return json_text(msgspec.to_builtins(found), indent=2)


def _to_table(found: Sequence[Unpinned]) -> str:
    """Columns of text, for people."""
    rows = [("IMAGE", "INSTANCE", "NOW")]
    for one in found:
        now = f"pinned by {_spoken(one.still_pinned_by)}" if one.still_pinned_by else "not pinned"
        rows.append((", ".join(one.names) or one.image_id, _spoken(one.instances), now))
    return columns(rows)


def _spoken(instances: Sequence[str]) -> str:
    return ", ".join(map(owner_text, instances))
