"""`leases`: lists what cut pulls of fetch have left on the node for the next run, or deletes it."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from nodeprefetch.cli.columns import columns
from nodeprefetch.cli.containerd import OwnerFlags, ask_containerd, owner_text
from nodeprefetch.cli.flags import switch
from nodeprefetch.text.outlet import write
from nodeprefetch.text.printable import json_text
from nodeprefetch.values.sizes import format_size

if TYPE_CHECKING:
    from nodeprefetch.runtime.api import ContainerdApi
    from nodeprefetch.runtime.connect import Connect
    from nodeprefetch.runtime.lease_labels import PullLease


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LeaseFlags(OwnerFlags):
    """Whose leases, and what about them."""

    delete: Annotated[bool, switch("Delete them, and with them what they keep.")] = False


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One lease of ours, as it was found."""

    id: str
    image: str
    instance: str
    """Empty for the one without a name."""

    expires_at: float | None
    """Unix seconds; None: never."""

    kept_bytes: int
    """Of its image, complete or not: what the next pull does not fetch again."""

    deleted: bool
    """It was, just now."""


def leases(*, flags: LeaseFlags = LeaseFlags()) -> None:
    """List the leases that runs of this instance have left, or delete them.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It may come in an exception group.
    """
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help

    found = run_interruptibly(partial(look, flags.connect(), flags.owner, delete=flags.delete))
    text = _to_json(found) if flags.output == "json" else _to_table(found, time.time())
    write(sys.stdout, text + "\n")


async def look(connect: "Connect", instance: str | None, *, delete: bool = False) -> list[Found]:
    """The leases of one instance; None: of all.

    Args:
        connect: finds the runtime.
        instance: whose.
        delete: delete them too.

    Raises:
        RuntimeUnavailableError: no runtime answered, or it stopped to. It comes in an exception group.
    """
    return await ask_containerd(
        connect,
        lambda api: _find(api, instance, delete=delete),
        things="leases",
        nothing_done="leases are not known",
        not_all_done="not all leases are deleted, run it again" if delete else "leases are not known",
    )


async def _find(api: "ContainerdApi", instance: str | None, *, delete: bool) -> list[Found]:
    from nodeprefetch.runtime.lease_labels import label_value, pull_lease  # noqa: PLC0415

    mine = None if instance is None else label_value(instance)
    ours = [lease for one in await api.leases() if (lease := pull_lease(one)) and mine in {None, lease.instance}]
    offsets = {ingest.ref: ingest.offset for ingest in await api.ingests()}
    found = []
    for lease in sorted(ours, key=lambda one: (one.image, one.instance, one.expires_at)):
        kept = await _kept_bytes(api, lease, offsets)
        found.append(
            Found(
                id=lease.id,
                image=lease.image,
                instance=lease.instance,
                expires_at=lease.expires_at if lease.expires_at < float("inf") else None,
                kept_bytes=kept,
                deleted=delete and await api.delete_lease(lease.id),
            )
        )
    return found


async def _kept_bytes(api: "ContainerdApi", lease: "PullLease", offsets: dict[str, int]) -> int:
    from nodeprefetch.runtime.api import ResourceKind  # noqa: PLC0415

    kept = 0
    for held in await api.lease_resources(lease.id) or ():
        if held.kind is ResourceKind.CONTENT:
            kept += await api.blob_size(held.id) or 0
        elif held.kind is ResourceKind.INGEST:
            kept += offsets.get(held.id, 0)
    return kept


def _to_json(found: Sequence[Found]) -> str:
    """An array, one object a lease."""
    return json_text(msgspec.to_builtins(found), indent=2)


def _to_table(found: Sequence[Found], now: float) -> str:
    """Columns of text, for people."""
    rows = [("IMAGE", "INSTANCE", "KEEPS", "EXPIRES")]
    for one in found:
        keeps = format_size(one.kept_bytes) or "0 B"
        rows.append((one.image, owner_text(one.instance), keeps, _expiry(one, now)))
    return columns(rows)


def _expiry(one: Found, now: float) -> str:
    if one.deleted:
        return "deleted"
    if one.expires_at is None:
        return "never"
    text = datetime.fromtimestamp(one.expires_at, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
    return text if one.expires_at > now else f"{text} (is over, goes with whatever containerd removes next)"
