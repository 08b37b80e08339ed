"""The finished attempts of a node, the newest first."""

from dataclasses import dataclass

import trio

from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.board import AttemptRecord

_ROWS = 1_000
"""Attempts of a node that are read before other tasks run: a few milliseconds."""

_LARGE = 4 << 20
"""Characters of errors after which no more attempts are read."""

_NEWEST = 2**63 - 1

_END = "SELECT seq FROM attempt WHERE node = ? AND seq < ? ORDER BY seq DESC LIMIT 1 OFFSET ?"
_SELECT = """
SELECT image.name, attempt.attempt, attempt.started_at, duration, timeout, coalesce(run_id, ''), size, digest,
credential, error, error_class, reason
FROM attempt JOIN image ON image.id = attempt.image LEFT JOIN run ON run.id = attempt.run
WHERE attempt.node = ? AND seq < ? AND seq >= ?
"""
_OF_IMAGE = " AND attempt.image = ?"
_OF_INSTANCE = " AND iif(attempt.run = 0, ?, run.instance) = ?"
_ORDER = " ORDER BY seq DESC LIMIT ?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """Some attempts of a node, the newest first."""

    attempts: list[AttemptRecord]
    more: bool
    """Whether there are older ones."""


async def attempts_of(
    store: Store, node: str, *, image: str | None = None, instance: str | None = None, limit: int
) -> Attempts:
    """Read the newest attempts of a node. Not a snapshot: other tasks run in between.

    Args:
        store: where they are.
        node: name of the node.
        image: only those of this image.
        instance: only those of this instance, as far as their runs are known. Those of image-prefetcher have none.
        limit: how many at most.
    """
    records = store.records
    number = records.nodes.find(node)
    conditions, values = _SELECT, list[object]()
    if image is not None:
        conditions += _OF_IMAGE
        values.append(records.images.find(image))  # None if unknown: matches nothing
    if instance is not None:
        conditions += _OF_INSTANCE
        values += [records.instances.find(""), records.instances.find(instance)]
    found: list[AttemptRecord] = []
    size, before = 0, _NEWEST
    while number is not None and before:
        ((end,),) = store.database.execute(_END, (number, before, _ROWS - 1)).fetchall() or [(0,)]
        rows = (number, before, end, *values, limit + 1 - len(found))
        for row in store.database.execute(conditions + _ORDER, rows).fetchall():
            if len(found) == limit or size > _LARGE:
                return Attempts(attempts=found, more=True)
            found.append(_record(node, row))
            size += len(found[-1].error)
        before = end
        await trio.lowlevel.checkpoint()
    return Attempts(attempts=found, more=False)


def _record(node: str, row: tuple[str, int, float, float, float, str, int, str, str, str, str, str]) -> AttemptRecord:
    image, attempt, started_at, duration, limit, run_id, size, digest, credential, error, error_class, reason = row
    return AttemptRecord(
        node=node,
        image=image,
        attempt=attempt,
        started_at=started_at,
        duration=duration,
        limit=limit,
        run_id=run_id,
        size=size,
        digest=digest,
        credential=credential,
        error=error,
        error_class=error_class,
        reason=reason,
    )
