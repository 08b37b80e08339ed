"""How often the tag of each image has moved, on all nodes together: the source of a Prometheus counter."""

import sqlite3
from collections.abc import Iterable, Sequence

_ADD = "INSERT INTO tag_moves VALUES (?, 1) ON CONFLICT (image) DO UPDATE SET moves = moves + 1"


class TagMoves:
    """The table `tag_moves`.

    Args:
        database: where the table is.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.totals: dict[int, int] = {}
        """Moves by the image's number."""

        self.reload()

    def reload(self) -> None:
        """Read everything again from the database, after a failed transaction."""
        self.totals = dict(self._database.execute("SELECT image, moves FROM tag_moves"))

    def add(self, images: Iterable[int]) -> None:
        """Count one move of each, an image that is named twice twice. Inside a transaction."""
        for image in images:
            self._database.execute(_ADD, (image,))
            self.totals[image] = self.totals.get(image, 0) + 1

    def forget(self, images: Sequence[tuple[int]]) -> None:
        """Delete the counts of images, by their numbers. Inside a transaction."""
        self._database.executemany("DELETE FROM tag_moves WHERE image = ?", images)
        for (image,) in images:
            self.totals.pop(image, None)
