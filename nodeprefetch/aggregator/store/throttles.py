"""For how long registries throttled: the seconds of each run and registry, and their sums, which never decrease."""

import sqlite3

from nodeprefetch.events import RegistryThrottled

MOST_NAMED = 100
"""Registries with a sum of their own; the others share one, because the number of a label's values must be bounded."""

OTHERS = "(others)"

_ADD = (
    "INSERT INTO throttled VALUES (?, ?, ?)"
    " ON CONFLICT (run, registry) DO UPDATE SET seconds = seconds + excluded.seconds"
)
_GONE = "run <> 0 AND run NOT IN (SELECT id FROM run)"


class Throttles:
    """The table `throttled`.

    Each event has the sum of its run so far. So one that arrives again adds nothing, and a lost one is made up for.

    Args:
        database: with the tables `throttled` and `run`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.totals: dict[str, float] = {}
        """Seconds by registry."""

        self.reload()

    def reload(self) -> None:
        """Read everything again from the database, after a failed transaction."""
        self.totals = dict(self._database.execute("SELECT registry, sum(seconds) FROM throttled GROUP BY registry"))

    def add(self, run: int, event: RegistryThrottled) -> bool:
        """Add what is new in an event of a run. Returns whether anything is. Inside a transaction."""
        registry = event.registry
        if registry not in self.totals and len(self.totals) >= MOST_NAMED:
            registry = OTHERS
        known = self._database.execute(
            "SELECT seconds FROM throttled WHERE run = ? AND registry = ?", (run, registry)
        ).fetchone()
        seconds = event.total - (known[0] if known else 0.0)
        if seconds <= 0:
            return False
        self._database.execute(_ADD, (run, registry, seconds))
        self.totals[registry] = self.totals.get(registry, 0.0) + seconds
        return True

    def merge_forgotten(self) -> None:
        """Keep only the sums of runs that are not in the database any more, as those of run 0."""
        gone = self._database.execute(
            f"SELECT registry, sum(seconds) FROM throttled WHERE {_GONE} GROUP BY registry"  # noqa: S608 - constants
        ).fetchall()
        if gone:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany(_ADD, [(0, registry, seconds) for registry, seconds in gone])
                self._database.execute(f"DELETE FROM throttled WHERE {_GONE}")  # noqa: S608 - constants
