"""Attempts counted by image and class of error, and by how long they took: what Prometheus' counters are made of.

They are written with the attempts, in one transaction: a counter is right after any end of the process, and does not
go down when attempts are forgotten.
"""

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from nodeprefetch.events import AttemptFinished

BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
"""Upper bounds in seconds: from images that are there to layers of many gigabytes."""

UNKNOWN = "unknown"
"""Class of an error nobody classed: those of the older tool."""

_LARGEST = 2**63 - 1
"""What SQLite can keep."""

UNRECOGNIZED = ":unknown"
"""Ends the class of errors whose text fetch did not recognize (the reason `unknown`): they are counted apart too."""

_CLASSES = frozenset({"passing", "permanent", "refused", "no-space", "runtime-gone", "cancelled"})


class Tally:
    """The attempts of one image that ended in one way."""

    __slots__ = ("bytes", "counts", "seconds")

    def __init__(self, seconds: float = 0.0, size: int = 0, counts: bytes = bytes(8 * (len(BUCKETS) + 1))) -> None:
        self.seconds = seconds
        self.bytes = size
        self.counts = list(array("Q", counts))
        """By bucket, the last one without an upper bound."""


class Tallies:
    """All of them.

    Args:
        database: with the table `tally`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._tallies: dict[tuple[int, str], Tally] = {}
        self._touched: set[tuple[int, str]] = set()
        self.reload()

    def reload(self) -> None:
        """Read them again: after a transaction that did not come to its end."""
        rows = self._database.execute("SELECT image, error_class, seconds, bytes, buckets FROM tally")
        self._tallies = {(image, kind): Tally(*rest) for image, kind, *rest in rows}
        self._touched.clear()

    def __iter__(self) -> Iterator[tuple[int, str, Tally]]:
        return ((image, kind, tally) for (image, kind), tally in self._tallies.items())

    def add(self, image: int, event: AttemptFinished) -> None:
        """One more attempt."""
        key = (image, class_of(event))
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        tally.counts[bisect_left(BUCKETS, event.duration)] += 1
        tally.seconds += event.duration
        tally.bytes += event.size
        self._touched.add(key)

    def forget(self, images: Sequence[tuple[int]]) -> None:
        """Forget those of images, by their numbers. Inside a transaction."""
        if images:
            self._database.executemany("DELETE FROM tally WHERE image = ?", images)
            gone = {image for (image,) in images}
            self._tallies = {key: tally for key, tally in self._tallies.items() if key[0] not in gone}

    def write(self) -> None:
        """Write down those that changed. Inside the transaction that has the attempts."""
        self._database.executemany(
            "INSERT OR REPLACE INTO tally VALUES (?, ?, ?, ?, ?)",
            [
                (*key, tally.seconds, min(tally.bytes, _LARGEST), array("Q", tally.counts).tobytes())
                for key, tally in ((key, self._tallies[key]) for key in self._touched)
            ],
        )
        self._touched.clear()


def class_of(event: AttemptFinished) -> str:
    """The class of an attempt's error, with `UNRECOGNIZED` behind it or without; empty for a success.

    Words nobody knows are one class: a label has a bound.
    """
    if not event.error:
        return ""
    error_class = event.error_class if event.error_class in _CLASSES else UNKNOWN
    return error_class + UNRECOGNIZED if event.reason == "unknown" else error_class
