"""The backlog of the live stream: rows small enough to be read one by one, and their text, shared by all readers."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from nodeprefetch.aggregator.counters import Budget
from nodeprefetch.events import Batch, Event

PART = 64 << 10
"""Bytes of text that a row becomes, about, and that are sent at once, at most."""

_LARGEST = 4 << 20
"""Bytes of a row. A larger event, which is a list of images that only compression let in, is a gap in the stream."""

GAP = b'event: gap\ndata: {"missed":true}\n\n'

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


def rows_of(batch: Batch, events: Sequence[Event]) -> list[bytes]:
    """Events of a batch as rows. Each event is sent with the names of its batch, so these decide how many fit.

    Args:
        batch: whose they are.
        events: those that are news.
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


class Text:
    """A row as server-sent events."""

    def __init__(self, number: int, body: bytes) -> None:
        self.number = number
        self.holders = 0
        self._begins: list[int] = []
        text = bytearray()
        for message in _messages(number, body):
            self._begins.append(len(text))
            text += message
        self._text = bytes(text)

    def __len__(self) -> int:
        return len(self._text)

    def after(self, place: int) -> Iterator[bytes]:
        """What follows the event at that place (-1: all of it), in parts."""
        begin = self._begins[place + 1] if place + 1 < len(self._begins) else len(self._text)
        for start in range(begin, len(self._text), PART):
            yield self._text[start : start + PART]  # the same object for everybody where it is all of it


class Texts:
    """Rows in hand of readers: each is read and written as text once, however many readers are at it.

    Args:
        database: with the table `live`.
        budget: texts count there while some reader has them in hand.
    """

    def __init__(self, database: sqlite3.Connection, budget: Budget) -> None:
        self._database = database
        self._budget = budget
        self._held: dict[int, Text] = {}

    def hold_next(self, number: int) -> Text | None:
        """The row after that number, until `let_go`. None: there is none yet.

        Raises:
            RefusedError: too much is in hand.
            sqlite3.Error: it cannot be read.
        """
        found = self._database.execute("SELECT id FROM live WHERE id > ? ORDER BY id LIMIT 1", (number,)).fetchone()
        if found is None:
            return None
        text = self._held.get(found[0])
        if text is None:
            (body,) = self._database.execute("SELECT body FROM live WHERE id = ?", found).fetchone()
            text = Text(found[0], body)
            self._budget.take(len(text))
            self._held[text.number] = text
        text.holders += 1
        return text

    def let_go(self, text: Text) -> None:
        """One reader has sent it."""
        text.holders -= 1
        if not text.holders:
            del self._held[text.number]
            self._budget.give_back(len(text))

    @property
    def first(self) -> int:
        """Number of the oldest row; 0 where there is none."""
        (first,) = self._database.execute("SELECT coalesce(min(id), 0) FROM live").fetchone()
        return int(first)

    @property
    def last(self) -> int:
        """Number of the newest row there ever was."""
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
        data = msgspec.json.encode({**fields, **about})  # a node speaks for itself and its own run only
        yield b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (number, index, fields["event"].encode(), data)
