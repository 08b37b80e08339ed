"""The older tool's results: its messages as our events, and its JSON out of our database."""

import sqlite3
from collections.abc import AsyncIterator, Sequence

import msgspec
import trio

from nodeprefetch.aggregator.recording import Submission
from nodeprefetch.aggregator.resultmessage import OlderResult
from nodeprefetch.events import AttemptFinished, Batch

_LARGEST = 2**63 - 1
_AT_ONCE = 1_000
"""Rows read without letting others go on: some milliseconds."""

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
"""What Go's encoding/json writes so, beside what every encoder must."""


def submissions_of(results: Sequence[OlderResult]) -> list[Submission]:
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


async def older_json(database: sqlite3.Connection) -> AsyncIterator[bytes]:
    """All attempts as the older tool writes them, in parts: one JSON array, zero and empty values left out."""
    select = (
        "SELECT seq, attempt_id, started_at, image.name, error, duration, node.name, size FROM attempt"
        " JOIN image ON image.id = attempt.image JOIN node ON node.id = attempt.node WHERE seq > ? ORDER BY seq LIMIT ?"
    )
    seq, separator = -1, b"["
    while rows := database.execute(select, (seq, _AT_ONCE)).fetchall():
        seq = rows[-1][0]
        yield separator + _written(rows)
        separator = b","
        await trio.lowlevel.checkpoint()
    yield b"[]" if separator == b"[" else b"]"


class _Written(msgspec.Struct, omit_defaults=True):
    """The order of the fields is that of the keys."""

    attempt_id: str = ""
    started_at: int = 0
    image: str = ""
    error: str = ""
    duration_ms: int = 0
    node: str = ""
    size_bytes: int = 0


def _written(rows: Sequence[tuple[int, str, float, str, str, float, str, int]]) -> bytes:
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
