"""image-prefetcher's formats: converts its gRPC results to events, and writes attempts as its JSON."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing

import msgspec

from nodeprefetch.aggregator.fair_lock import FairLock
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.events import AttemptFinished, TagMoved
from nodeprefetch.rpc.metrics import Result

_LARGEST = 2**63 - 1
_PART = 24 << 10
"""Approximate characters of a part: a few milliseconds of work."""

_NAMES = 100
"""Approximate characters of a row's keys and numbers."""

_SELECT = (
    "SELECT seq, attempt_id, started_at, image.name, error, duration, node.name, size FROM attempt"
    " JOIN image ON image.id = attempt.image JOIN node ON node.id = attempt.node WHERE seq > ? ORDER BY seq"
)
_Row = tuple[int, str, float, str, str, float, str, int]

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
"""Escapes of Go's encoding/json in addition to those that every encoder must write."""


def submissions_of(results: Sequence[Result]) -> list[Submission]:
    """Return the results as attempts and moves of tags, one submission for each node."""
    by_node: dict[str, list[AnyEvent]] = {}
    for result in results:
        duration = result.duration_ms / 1000
        at = result.started_at + duration
        events = by_node.setdefault(result.node, [])
        events.append(
            AttemptFinished(
                at=at,
                attempt_id=result.attempt_id,
                image=result.image,
                attempt=0,
                started_at=result.started_at,
                duration=duration,
                limit=0,
                error=result.error,
                size=min(result.size_bytes, _LARGEST),
                digest=result.digest,
                moved_from=result.moved_from,
            )
        )
        if result.moved_from and result.digest:
            events.append(TagMoved(at=at, image=result.image, before=result.moved_from, after=result.digest))
    return [
        Submission(batch=Batch(run_id="", node=node, version="", events=tuple(events)), legacy=True)
        for node, events in by_node.items()
    ]


async def legacy_json(database: sqlite3.Connection, lock: FairLock, address: str = "") -> AsyncGenerator[bytes]:
    """Yield all attempts in image-prefetcher's format: one JSON array in parts, without zero and empty values.

    Args:
        database: with the table `attempt`.
        lock: held while each part is made.
        address: the remote address of the reader.
    """
    seq, begin = -1, b"["
    while True:
        async with lock.hold(address):
            rows = _next_rows(database, seq)
            part = _encode(rows)
        if not rows:
            break
        seq = rows[-1][0]
        yield begin + part
        begin = b","
    yield b"[]" if begin == b"[" else b"]"


def _next_rows(database: sqlite3.Connection, seq: int) -> list[_Row]:
    """Return the rows of the next part."""
    rows: list[_Row] = []
    size = 0
    with closing(database.execute(_SELECT, (seq,))) as cursor:
        for row in cursor:
            rows.append(row)
            size += _NAMES + sum(len(text) for text in row if isinstance(text, str))
            if size >= _PART:
                break
    return rows


class _LegacyResult(msgspec.Struct, omit_defaults=True):
    """Its fields are in the order of the JSON keys."""

    attempt_id: str = ""
    started_at: int = 0
    image: str = ""
    error: str = ""
    duration_ms: int = 0
    node: str = ""
    size_bytes: int = 0


def _encode(rows: Sequence[_Row]) -> bytes:
    """Encode rows as the inside of a JSON array."""
    text = msgspec.json.encode(
        [
            _LegacyResult(attempt_id, round(started_at), image, error, round(duration * 1000), node, size)
            for _, attempt_id, started_at, image, error, duration, node, size in rows
        ]
    )
    for character, escaped in _ESCAPES:
        text = text.replace(character, escaped)  # they occur in strings only
    return text[1:-1]
