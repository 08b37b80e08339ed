"""`leases`: lists or deletes the partial downloads that `fetch` keeps on the node for its next run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from nodeprefetch.cli.containerd import OwnerFlags, ask_containerd, owner_text
from nodeprefetch.cli.environment import read_environment
from nodeprefetch.cli.flag_kinds import INSTANCE, switch
from nodeprefetch.cli.output import columns, print_records
from nodeprefetch.values.sizes import format_size

if TYPE_CHECKING:
    from nodeprefetch.runtime.api import ContainerdApi
    from nodeprefetch.runtime.connect import Connect
    from nodeprefetch.runtime.lease_labels import PullLease


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LeaseFlags(OwnerFlags):
    """Which leases, and whether to delete them."""

    delete: Annotated[
        bool, switch("Delete the leases and the data they hold.", group=INSTANCE, from_environment=False)
    ] = False


class ListedLease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that a run of `fetch` created."""

    id: str
    image: str
    instance: str
    """Empty for the instance without a name."""

    expires_at: float | None
    """Unix seconds; None: never."""

    kept_bytes: int
    """Bytes of its image, complete or partial, that the next pull does not download again."""

    deleted: bool
    """This command deleted it."""


def leases(*, flags: LeaseFlags = LeaseFlags()) -> None:
    """List the leases of this instance, or delete them.

    Raises:
        RuntimeUnavailableError: the runtime did not respond. It may come in an exception group.
    """
    from nodeprefetch.cli.stop_signals import run_interruptibly  # noqa: PLC0415 - not for --help

    environment = read_environment()
    listed = run_interruptibly(
        partial(list_leases, flags.connect(environment), flags.owner(environment), delete=flags.delete)
    )
    print_records(listed, flags.output, partial(_to_table, now=time.time()))


async def list_leases(connect: "Connect", instance: str | None, *, delete: bool = False) -> list[ListedLease]:
    """Return the leases of one instance; None: of all.

    Args:
        connect: finds the runtime.
        instance: whose leases.
        delete: also delete them.

    Raises:
        RuntimeUnavailableError: the runtime did not respond. It comes in an exception group.
    """
    return await ask_containerd(
        connect,
        lambda api: _list(api, instance, delete=delete),
        nothing_done="could not read leases",
        not_all_done="could not delete all leases" if delete else "could not read leases",
        hint="run the command again" if delete else "",
    )


async def _list(api: "ContainerdApi", instance: str | None, *, delete: bool) -> list[ListedLease]:
    from nodeprefetch.runtime.lease_labels import encode_name, pull_lease  # noqa: PLC0415

    mine = None if instance is None else encode_name(instance)
    ours = [lease for each in await api.leases() if (lease := pull_lease(each)) and mine in {None, lease.instance}]
    offsets = {ingest.ref: ingest.offset for ingest in await api.ingests()}
    listed = []
    for lease in sorted(ours, key=lambda each: (each.image, each.instance, each.expires_at)):
        kept = await _kept_bytes(api, lease, offsets)
        listed.append(
            ListedLease(
                id=lease.id,
                image=lease.image,
                instance=lease.instance,
                expires_at=lease.expires_at if lease.expires_at < float("inf") else None,
                kept_bytes=kept,
                deleted=delete and await api.delete_lease(lease.id),
            )
        )
    return listed


async def _kept_bytes(api: "ContainerdApi", lease: "PullLease", offsets: dict[str, int]) -> int:
    from nodeprefetch.runtime.api import ResourceKind  # noqa: PLC0415

    kept = 0
    for held in await api.lease_resources(lease.id) or ():
        if held.kind is ResourceKind.CONTENT:
            kept += await api.blob_size(held.id) or 0
        elif held.kind is ResourceKind.INGEST:
            kept += offsets.get(held.id, 0)
    return kept


def _to_table(listed: Sequence[ListedLease], now: float) -> str:
    rows = [("IMAGE", "INSTANCE", "KEEPS", "EXPIRES")]
    for each in listed:
        keeps = format_size(each.kept_bytes) or "0 B"
        rows.append((each.image, owner_text(each.instance), keeps, _expiry(each, now)))
    return columns(rows)


def _expiry(lease: ListedLease, now: float) -> str:
    if lease.deleted:
        return "deleted"
    if lease.expires_at is None:
        return "never"
    text = datetime.fromtimestamp(lease.expires_at, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
    return text if lease.expires_at > now else f"{text} (expired, awaiting garbage collection)"
