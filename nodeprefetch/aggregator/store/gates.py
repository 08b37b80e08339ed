"""Which nodes take pods although images are missing, as their gate gave up."""

import sqlite3
from collections.abc import Iterable, Sequence

from nodeprefetch.events import GateOpened

_PUT = """
INSERT INTO gate VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (node, instance) DO UPDATE
SET run = excluded.run, at = excluded.at, gave_up = excluded.gave_up, missing = excluded.missing
WHERE (excluded.run, excluded.at) > (run, at)
"""

_GAVE_UP = """
SELECT instance, count(*) FROM gate WHERE gave_up
AND (node, instance) NOT IN (SELECT node, instance FROM node_report WHERE is_gone) GROUP BY instance
"""


class Gates:
    """The table `gate`: the last that each node has said of its gate.

    Args:
        database: where the table is.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def put(self, node: int, instance: int, run: int, event: GateOpened) -> bool:
        """Take an event of a run. Inside a transaction. Returns False if it or a later one was stored before."""
        row = (node, instance, run, event.at, event.gave_up, event.missing_count)
        return self._database.execute(_PUT, row).rowcount > 0

    def gave_up(self) -> dict[int, int]:
        """Count nodes that are not gone, by the instance's number."""
        return dict(self._database.execute(_GAVE_UP))

    def forget(self, nodes: Sequence[tuple[int]], instances: Iterable[tuple[int]]) -> None:
        """Delete what nodes and instances have said, by their numbers. Inside a transaction."""
        self._database.executemany("DELETE FROM gate WHERE node = ?", nodes)
        self._database.executemany("DELETE FROM gate WHERE instance = ?", instances)


def gave_up_of(database: sqlite3.Connection, node: int, instance: int) -> dict[str, float | int]:
    """Return what /v1/status shows about the gate of a node; empty if it did not give up."""
    row = database.execute(
        "SELECT at, missing FROM gate WHERE node = ? AND instance = ? AND gave_up", (node, instance)
    ).fetchone()
    return {"at": row[0], "missing": row[1]} if row else {}
