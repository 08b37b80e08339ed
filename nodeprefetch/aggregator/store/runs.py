"""Runs as numbers in the order of their arrival, and what is known of each."""

import sqlite3

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.events import Batch, RunFinished, RunStarted

_REMEMBERED = 10_000


class Runs:
    """The runs in the database.

    A run is known by its ID, node and instance together: a node cannot speak for the run of another.

    Args:
        database: with the table `run`.
        bounds: how many there may be.
    """

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self._database = database
        self._bounds = bounds
        self._numbers: dict[tuple[str, int, int], int] = {}
        self._new: tuple[str, int, int] | None = None
        """The run that this submission has begun."""

        self._heard_before: dict[int, int | None] = {}
        """What this submission has changed, as it was."""

        self.count = 0
        """How many there are."""

        self.heard: dict[int, int] = {}
        """Unix seconds by the number of an instance: when a run of it was last heard of."""

        self.reload()

    def reload(self) -> None:
        """Be again what is in the database: after a transaction that did not come to its end."""
        self._numbers.clear()
        (self.count,) = self._database.execute("SELECT count(*) FROM run").fetchone()
        self.heard = dict(self._database.execute("SELECT instance, max(heard) FROM run GROUP BY instance").fetchall())

    def begin(self) -> None:
        """Another submission begins."""
        self._new = None
        self._heard_before.clear()

    def undo(self) -> None:
        """Take back what this submission has changed; its savepoint does the same in the database."""
        if self._new is not None:
            del self._numbers[self._new]
            self.count -= 1
            self._new = None
        for instance, heard in self._heard_before.items():
            if heard is None:
                del self.heard[instance]
            else:
                self.heard[instance] = heard
        self._heard_before.clear()

    def number(self, batch: Batch, instance: int, node: int, now: int) -> int:
        """The number of the run that a batch is of, a new one if need be. Inside a transaction.

        Raises:
            RefusedError: there are too many.
        """
        number = self._number((batch.run_id, node, instance), batch.version, now)
        self._heard_before.setdefault(instance, self.heard.get(instance))
        self.heard[instance] = now
        return number

    def forget(self, before: int) -> None:
        """Instances not heard since that Unix second have no runs any more."""
        self.heard = {instance: heard for instance, heard in self.heard.items() if heard >= before}

    def _number(self, key: tuple[str, int, int], version: str, now: int) -> int:
        number = self._numbers.get(key)
        if number is not None:
            updated = self._database.execute("UPDATE run SET heard = ? WHERE id = ?", (now, number))
            if updated.rowcount:
                return number
        found = self._database.execute(
            "UPDATE run SET heard = ? WHERE run_id = ? AND node = ? AND instance = ? RETURNING id", (now, *key)
        ).fetchone()
        number = int(found[0]) if found else self._begin(key, version, now)
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        self._numbers[key] = number
        return number

    def _begin(self, key: tuple[str, int, int], version: str, now: int) -> int:
        if self.count >= self._bounds.runs:
            raise RefusedError(
                429,
                "too_many_runs",
                f"{self._bounds.runs} runs are known already",
                retry_after=self._bounds.retry_after,
            )
        found = self._database.execute(
            "INSERT INTO run (run_id, node, instance, version, heard) VALUES (?, ?, ?, ?, ?)", (*key, version, now)
        )
        self._new = key
        self.count += 1
        return found.lastrowid or 0

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
