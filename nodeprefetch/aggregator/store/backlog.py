"""The backlog of the live stream: splits batches into rows, and renders rows once for all readers."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from nodeprefetch.aggregator.counters import Budget
from nodeprefetch.batch import Batch
from nodeprefetch.events import Event

PART = 64 << 10
"""Approximate bytes of a rendered row, and the most that are sent at once."""

_LARGEST = 4 << 20
"""Bytes of a row. A larger event, a list of images that only compression lets in, becomes a gap."""

GAP = b'event: gap\ndata: {"missed":true}\n\n'

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


def rows_of(batch: Batch, events: Sequence[Event]) -> list[bytes]:
    """Split events of a batch into rows. Each event is sent with the names of its batch, which take room too.

    Args:
        batch: the batch of the events.
        events: the new ones.
    """
    whole = _row(batch, events)
    about = len(batch.run_id) + len(batch.node) + len(batch.version) + len(batch.instance)
    size = len(whole) + len(events) * about
    if size <= PART:
        return [whole]
    count = max(1, len(events) * PART // size)
    return [_row(batch, events[start : start + count]) for start in range(0, len(events), count)]


def _row(batch: Batch, events: Sequence[Event]) -> bytes:
    body = _encode(msgspec.structs.replace(batch, events=tuple(events)))
    return body if len(body) <= _LARGEST else b""


class RenderedRow:
    """A row rendered as server-sent events."""

    def __init__(self, number: int, body: bytes) -> None:
        self.number = number
        self.readers = 0
        self._begins: list[int] = []
        text = bytearray()
        for message in _messages(number, body):
            self._begins.append(len(text))
            text += message
        self._text = bytes(text)

    def __len__(self) -> int:
        return len(self._text)

    def after(self, index: int) -> Iterator[bytes]:
        """Yield what follows the event at an index (-1: everything), in parts."""
        begin = self._begins[index + 1] if index + 1 < len(self._begins) else len(self._text)
        for start in range(begin, len(self._text), PART):
            yield self._text[start : start + PART]  # the same object for all readers if it is the whole text


class RenderedRows:
    """Rows that readers are sending: each is read and rendered once, for any number of readers.

    Args:
        database: with the table `live`.
        budget: counts rendered rows while any reader holds them.
    """

    def __init__(self, database: sqlite3.Connection, budget: Budget) -> None:
        self._database = database
        self._budget = budget
        self._held: dict[int, RenderedRow] = {}

    def acquire_next(self, number: int) -> RenderedRow | None:
        """Hold the row after a number until `release`. None: there is none yet.

        Raises:
            RefusedError: the budget is used up.
            sqlite3.Error: the database cannot be read.
        """
        found = self._database.execute("SELECT id FROM live WHERE id > ? ORDER BY id LIMIT 1", (number,)).fetchone()
        if found is None:
            return None
        row = self._held.get(found[0])
        if row is None:
            (body,) = self._database.execute("SELECT body FROM live WHERE id = ?", found).fetchone()
            row = RenderedRow(found[0], body)
            self._budget.take(len(row))
            self._held[row.number] = row
        row.readers += 1
        return row

    def release(self, row: RenderedRow) -> None:
        """Stop holding a row: one reader has sent it."""
        row.readers -= 1
        if not row.readers:
            del self._held[row.number]
            self._budget.release(len(row))

    @property
    def first(self) -> int:
        """Number of the oldest row; 0 if there is none."""
        (first,) = self._database.execute("SELECT coalesce(min(id), 0) FROM live").fetchone()
        return int(first)

    @property
    def last(self) -> int:
        """Number of the newest row ever written."""
        found = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'live'").fetchone()
        return int(found[0]) if found else 0


def _messages(number: int, body: bytes) -> Iterator[bytes]:
    if not body:
        yield b"id: %d-0\n%b" % (number, GAP)
        return
    batch = _decode(body)
    about = {"run_id": batch.run_id, "node": batch.node, "instance": batch.instance, "version": batch.version}
    for index, event in enumerate(batch.events):
        fields = msgspec.to_builtins(event)
        data = msgspec.json.encode({**fields, **about})  # in this order: a node reports only for itself and its own run
        yield b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (number, index, fields["event"].encode(), data)
