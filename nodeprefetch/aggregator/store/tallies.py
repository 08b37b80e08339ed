"""Tallies of attempts by image, error class and duration: the source of the Prometheus counters.

They are written in the same transaction as the attempts. So counters are exact however the process ends, and do not
decrease when attempts are deleted.
"""

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from nodeprefetch.events import AttemptFinished

BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
"""Upper bounds in seconds: from images that are present to layers of many gigabytes."""

UNKNOWN = "unknown"
"""Class of errors without one: those of image-prefetcher."""

_LARGEST = 2**63 - 1
"""Largest integer in SQLite."""

UNRECOGNIZED = ":unknown"
"""Suffix of the class of errors that fetch did not recognize (reason `unknown`), which are also counted separately."""

_CLASSES = frozenset({"passing", "permanent", "refused", "no-space", "runtime-gone", "cancelled"})


class AttemptTally:
    """Totals of the attempts of one image with one error class."""

    __slots__ = ("bytes", "counts", "seconds")

    def __init__(self, seconds: float = 0.0, size: int = 0, counts: bytes = bytes(8 * (len(BUCKETS) + 1))) -> None:
        self.seconds = seconds
        self.bytes = size
        self.counts = list(array("Q", counts))
        """Attempts by bucket; the last one has no upper bound."""


class Tallies:
    """All tallies, by image and error class.

    Args:
        database: with the table `tally`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._tallies: dict[tuple[int, str], AttemptTally] = {}
        self._touched: set[tuple[int, str]] = set()
        self.reload()

    def reload(self) -> None:
        """Read everything again from the database, after a failed transaction."""
        rows = self._database.execute("SELECT image, error_class, seconds, bytes, buckets FROM tally")
        self._tallies = {(image, kind): AttemptTally(*rest) for image, kind, *rest in rows}
        self._touched.clear()

    def __iter__(self) -> Iterator[tuple[int, str, AttemptTally]]:
        return ((image, kind, tally) for (image, kind), tally in self._tallies.items())

    def add(self, image: int, event: AttemptFinished) -> None:
        """Count one more attempt."""
        key = (image, class_of(event))
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = AttemptTally()
        tally.counts[bisect_left(BUCKETS, event.duration)] += 1
        tally.seconds += event.duration
        tally.bytes += event.size
        self._touched.add(key)

    def forget(self, images: Sequence[tuple[int]]) -> None:
        """Delete the tallies of images, by their numbers. Inside a transaction."""
        if images:
            self._database.executemany("DELETE FROM tally WHERE image = ?", images)
            gone = {image for (image,) in images}
            self._tallies = {key: tally for key, tally in self._tallies.items() if key[0] not in gone}

    def write(self) -> None:
        """Write changed tallies to the database. Inside the transaction of the attempts."""
        self._database.executemany(
            "INSERT OR REPLACE INTO tally VALUES (?, ?, ?, ?, ?)",
            [
                (*key, tally.seconds, min(tally.bytes, _LARGEST), array("Q", tally.counts).tobytes())
                for key, tally in ((key, self._tallies[key]) for key in self._touched)
            ],
        )
        self._touched.clear()


def class_of(event: AttemptFinished) -> str:
    """Return the error class of an attempt, with the suffix `UNRECOGNIZED` if that applies; empty for a success.

    Unknown classes become one class, because the number of a label's values must be bounded.
    """
    if not event.error:
        return ""
    error_class = event.error_class if event.error_class in _CLASSES else UNKNOWN
    return error_class + UNRECOGNIZED if event.reason == "unknown" else error_class
