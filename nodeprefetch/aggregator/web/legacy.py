"""The older tool's results: its messages as our events, and its JSON out of our database."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing

import msgspec

from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.turns import Turns
from nodeprefetch.events import AttemptFinished, Batch
from nodeprefetch.rpc.metrics import Result

_LARGEST = 2**63 - 1
_PART = 24 << 10
"""Characters in one part, about: some milliseconds' work."""

_NAMES = 100
"""Characters of the names of a row's fields, and of its numbers."""

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
"""What Go's encoding/json writes so, beside what every encoder must."""


def submissions_of(results: Sequence[Result]) -> list[Submission]:
    """The results as attempts, one submission for each node they tell of."""
    by_node: dict[str, list[AttemptFinished]] = {}
    for result in results:
        duration = result.duration_ms / 1000
        by_node.setdefault(result.node, []).append(
            AttemptFinished(
                at=result.started_at + duration,
                attempt_id=result.attempt_id,
                image=result.image,
                attempt=0,
                started_at=result.started_at,
                duration=duration,
                limit=0,
                error=result.error,
                size=min(result.size_bytes, _LARGEST),
            )
        )
    return [
        Submission(batch=Batch(run_id="", node=node, version="", events=tuple(events)), older=True)
        for node, events in by_node.items()
    ]


async def older_json(database: sqlite3.Connection, turns: Turns, address: str = "") -> AsyncGenerator[bytes]:
    """All attempts as the older tool writes them, in parts: one JSON array, zero and empty values left out.

    Args:
        database: with the table `attempt`.
        turns: there is one for each part.
        address: who reads.
    """
    seq, begin = -1, b"["
    while True:
        async with turns.turn(address):
            rows = _next_rows(database, seq)
            part = _written(rows)
        if not rows:
            break
        seq = rows[-1][0]
        yield begin + part
        begin = b","
    yield b"[]" if begin == b"[" else b"]"


def _next_rows(database: sqlite3.Connection, seq: int) -> list[_Row]:
    """Those of one part."""
    rows: list[_Row] = []
    size = 0
    with closing(database.execute(_SELECT, (seq,))) as cursor:
        for row in cursor:
            rows.append(row)
            size += _NAMES + sum(len(text) for text in row if isinstance(text, str))
            if size >= _PART:
                break
    return rows


class _Written(msgspec.Struct, omit_defaults=True):
    """The order of the fields is that of the keys."""

    attempt_id: str = ""
    started_at: int = 0
    image: str = ""
    error: str = ""
    duration_ms: int = 0
    node: str = ""
    size_bytes: int = 0


def _written(rows: Sequence[_Row]) -> bytes:
    """The rows without the brackets around them."""
    text = msgspec.json.encode(
        [
            _Written(attempt_id, round(started_at), image, error, round(duration * 1000), node, size)
            for _, attempt_id, started_at, image, error, duration, node, size in rows
        ]
    )
    for character, escaped in _ESCAPES:
        text = text.replace(character, escaped)  # none of them occurs outside of a string
    return text[1:-1]
