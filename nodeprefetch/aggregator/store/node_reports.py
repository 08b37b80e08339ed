"""What each node has said of itself in its newest run, and which nodes are gone.

A node is gone if it has promised another report and is not heard of any more: its states are deleted, so it leaves
/v1/status and the gauges, and it is counted until it is heard of again, or its last run is forgotten. A node that
promised nothing, as it runs `fetch` once, is never gone.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nodeprefetch.events import ListRejected, RunStarted

MISSED_REPORTS = 3
"""Reports that may be missing before a node is gone, however short the retention is."""

FIRST_REPORT = 1.5
"""Intervals between reports that a node has for a report after the start of the aggregator, which may have been away:
as many as are between two reports at most."""

_EXAMPLES = 10
"""Names of nodes that are gone."""

_BEGIN = """
INSERT INTO node_report (node, instance, run) VALUES (?, ?, ?) ON CONFLICT (node, instance) DO UPDATE
SET run = excluded.run, rejected_at = NULL, problem = '', problems = 0, is_gone = 0
WHERE excluded.run > run OR (excluded.run = run AND is_gone)
"""
_PROMISE = "UPDATE node_report SET report_every = ? WHERE node = ? AND instance = ? AND run = ?"
_REJECT = """
UPDATE node_report SET rejected_at = ?, problem = ?, problems = ?
WHERE node = ? AND instance = ? AND run = ? AND rejected_at IS NULL
"""
_PROMISED = """
SELECT node_report.node, node_report.instance, report_every, coalesce(heard, 0)
FROM node_report LEFT JOIN run ON run.id = node_report.run WHERE report_every > 0 AND NOT is_gone
"""
_FORGOTTEN = "DELETE FROM node_report WHERE run NOT IN (SELECT id FROM run)"


class GoneNodes(NamedTuple):
    """The nodes of an instance that are gone."""

    nodes: int
    """Number of them."""

    examples: list[int]
    """Numbers of some."""


class NodeReports:
    """The table `node_report`.

    Args:
        database: with the tables `node_report` and `run`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._look_at = 0.0
        """No node is gone before, Unix seconds."""

    def begin(self, node: int, instance: int, run: int) -> None:
        """Take notice of a node, and of its newest run. Inside a transaction."""
        self._database.execute(_BEGIN, (node, instance, run))

    def promise(self, node: int, instance: int, run: int, event: RunStarted) -> None:
        """Take when the node will report again. Inside a transaction."""
        self._database.execute(_PROMISE, (event.report_every, node, instance, run))

    def reject(self, node: int, instance: int, run: int, event: ListRejected) -> bool:
        """Take why the node does not use its newest lists. Inside a transaction. Returns whether that is new."""
        first, count = next(iter(event.problems), ""), len(event.problems)
        return self._database.execute(_REJECT, (event.since, first, count, node, instance, run)).rowcount > 0

    def missing(self, now: float, *, started: float, retention: float) -> list[tuple[int, int]]:
        """Return the numbers of nodes and instances that have become silent.

        Args:
            now: Unix seconds.
            started: since when nodes can be heard, Unix seconds.
            retention: seconds for which a silent node is kept.
        """
        if now < self._look_at:
            return []
        missing, self._look_at = [], now + retention  # nodes that are new until then are kept longer
        for node, instance, every, heard in self._database.execute(_PROMISED):
            ends = max(heard + max(retention, MISSED_REPORTS * every), started + FIRST_REPORT * every)
            if ends <= now:
                missing.append((node, instance))
            self._look_at = min(self._look_at, ends)  # again at once if they cannot be dropped now
        return missing

    def drop(self, node: int, instance: int) -> int:
        """Delete the states of a node that is gone, in a transaction. Returns their number."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            dropped = self._database.execute("DELETE FROM state WHERE node = ? AND instance = ?", (node, instance))
            self._database.execute(
                "UPDATE node_report SET is_gone = 1 WHERE node = ? AND instance = ?", (node, instance)
            )
        return dropped.rowcount

    def gone(self) -> dict[int, GoneNodes]:
        """Return the nodes that are gone, by the instance's number."""
        gone: dict[int, GoneNodes] = {}
        for instance, node in self._database.execute("SELECT instance, node FROM node_report WHERE is_gone"):
            nodes, examples = gone.get(instance, GoneNodes(0, []))
            gone[instance] = GoneNodes(nodes + 1, [*examples, node] if nodes < _EXAMPLES else examples)
        return gone

    def rejecting(self) -> dict[int, int]:
        """Count the nodes that do not use their newest lists, by the instance's number."""
        return dict(
            self._database.execute(
                "SELECT instance, count(*) FROM node_report WHERE rejected_at NOTNULL AND NOT is_gone GROUP BY instance"
            )
        )

    def forget_with_runs(self) -> None:
        """Delete what is left of nodes whose newest run is not in the database any more."""
        self._database.execute(_FORGOTTEN)

    def forget(self, nodes: Sequence[tuple[int]], instances: Iterable[tuple[int]]) -> None:
        """Delete what nodes and instances have said, by their numbers. Inside a transaction."""
        self._database.executemany("DELETE FROM node_report WHERE node = ?", nodes)
        self._database.executemany("DELETE FROM node_report WHERE instance = ?", instances)


def rejection_of(database: sqlite3.Connection, node: int, instance: int) -> dict[str, float | int | str]:
    """Return what /v1/status shows about the lists that a node rejects; empty if it uses the newest."""
    row = database.execute(
        "SELECT rejected_at, problem, problems FROM node_report WHERE node = ? AND instance = ?", (node, instance)
    ).fetchone()
    if row is None or row[0] is None:
        return {}
    since, problem, problems = row
    return {"since": since, "problem": problem, "problems": problems}
