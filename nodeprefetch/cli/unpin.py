"""`unpin`: removes pins that `fetch --pin` created, and lists the affected images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nodeprefetch.cli.containerd import OwnerFlags, ask_containerd, owner_text
from nodeprefetch.cli.environment import read_environment
from nodeprefetch.cli.output import columns, print_records

if TYPE_CHECKING:
    from nodeprefetch.runtime.api import ContainerdApi
    from nodeprefetch.runtime.connect import Connect


_THIS_INSTANCE = OwnerFlags()


class Unpinned(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose pin was removed for some instances."""

    image_id: str
    names: tuple[str, ...]
    instances: tuple[str, ...]
    """Instances that no longer pin the image; an empty text is the instance without a name."""

    still_pinned_by: tuple[str, ...]
    """Instances that still pin it. While there is one, the image stays pinned."""


def unpin(*, flags: OwnerFlags = _THIS_INSTANCE) -> None:
    """Remove the pins that this instance created, and no others.

    Raises:
        RuntimeUnavailableError: the runtime did not respond. It may come in an exception group.
    """
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help

    environment = read_environment()
    unpinned = run_interruptibly(remove_pins, flags.connect(environment), flags.owner(environment))
    print_records(unpinned, flags.output, _to_table)


async def remove_pins(connect: "Connect", instance: str | None) -> list[Unpinned]:
    """Remove the pins of one instance; None: of all. Returns the affected images.

    Raises:
        RuntimeUnavailableError: the runtime did not respond. It comes in an exception group.
    """
    return await ask_containerd(
        connect,
        lambda api: _release(api, instance),
        nothing_done="no pins were removed",
        not_all_done="could not remove all pins",
        hint="run the command again",
    )


async def _release(api: "ContainerdApi", instance: str | None) -> list[Unpinned]:
    from nodeprefetch.runtime.pin_labels import mark_of, release  # noqa: PLC0415

    mine = None if instance is None else mark_of(instance)
    released = await release(api, await api.image_names(), lambda _, mark: mine in {None, mark})
    return [
        Unpinned(image_id=each.image_id, names=each.names, instances=each.instances, still_pinned_by=each.still)
        for each in released
    ]


def _to_table(unpinned: Sequence[Unpinned]) -> str:
    rows = [("IMAGE", "INSTANCE", "NOW")]
    for each in unpinned:
        now = f"pinned by {_owner_texts(each.still_pinned_by)}" if each.still_pinned_by else "not pinned"
        rows.append((", ".join(each.names) or each.image_id, _owner_texts(each.instances), now))
    return columns(rows)


def _owner_texts(instances: Sequence[str]) -> str:
    return ", ".join(map(owner_text, instances))
