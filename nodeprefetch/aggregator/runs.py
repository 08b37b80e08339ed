"""Runs as numbers in the order of their arrival, and what is known of each."""

import sqlite3

from nodeprefetch.events import Batch, RunFinished, RunStarted

_REMEMBERED = 10_000


class Runs:
    """The runs in the database.

    A run is known by its ID, node and instance together: a node cannot speak for the run of another.

    Args:
        database: with the table `run`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._numbers: dict[tuple[str, int, int], int] = {}

    def reload(self) -> None:
        """Forget what is remembered: after a transaction that did not come to its end."""
        self._numbers.clear()

    def number(self, batch: Batch, instance: int, node: int, now: int) -> int:
        """The number of the run that a batch is of, a new one if need be. Inside a transaction."""
        key = (batch.run_id, node, instance)
        number = self._numbers.get(key)
        if number is not None:
            updated = self._database.execute("UPDATE run SET heard = ? WHERE id = ?", (now, number))
            if updated.rowcount:
                return number
        found = self._database.execute(
            "INSERT INTO run (run_id, node, instance, version, heard) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (run_id, node, instance) DO UPDATE SET heard = excluded.heard RETURNING id",
            (*key, batch.version, now),
        )
        (number,) = found.fetchone()
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        self._numbers[key] = number
        return int(number)

    def started(self, run: int, event: RunStarted) -> bool:
        """A run began. Returns whether that was news."""
        changed = self._database.execute(
            "UPDATE run SET started_at = ?, runtime = ? WHERE id = ? AND started_at IS NULL",
            (event.at, event.runtime, run),
        )
        return changed.rowcount > 0

    def finished(self, run: int, event: RunFinished) -> bool:
        """A run ended. Returns whether that was news."""
        changed = self._database.execute(
            "UPDATE run SET ended_at = ?, ended = ? WHERE id = ? AND ended_at IS NULL",
            (event.at, str(event.end), run),
        )
        return changed.rowcount > 0
