"""Deletes what is expired or beyond a limit, in small steps, and moves the write-ahead log into the database."""

import sqlite3
import time
from functools import partial
from pathlib import Path

import trio

from nodeprefetch.aggregator.settings import AggregatorSettings
from nodeprefetch.aggregator.store.damage import DamagedDatabaseError, damage_in, set_aside
from nodeprefetch.aggregator.store.oldest import delete_oldest_attempts, trim_backlog
from nodeprefetch.aggregator.store.schema import FILE
from nodeprefetch.aggregator.store.store import Store

_EVERY = 1.0
"""Seconds between two rounds."""

_STEP = 500
"""Rows deleted at once: a millisecond or two."""

_SLACK = 120
"""Seconds that a name is kept longer than its data, because the time of its last event is not written each time."""

_LOG_LARGE, _LOG_TOO_LARGE = 4 << 20, 64 << 20
"""Bytes of the write-ahead log from which it is moved, and from which Trio's thread waits for that."""

_MUCH_LARGER = 1 << 20
"""Bytes by which the file must exceed the database to move the log for that reason."""

_OLD_STATES = (
    "DELETE FROM state WHERE (node, instance, image) IN"
    " (SELECT node, instance, image FROM state WHERE received < ? LIMIT ?) RETURNING node, instance"
)
_OLD_RUNS = "DELETE FROM run WHERE id IN (SELECT id FROM run WHERE heard < ? LIMIT ?) RETURNING node, instance"
_REPLACED_RUNS = (
    "DELETE FROM run WHERE id IN (SELECT run.id FROM run JOIN node_report USING (node, instance)"
    " WHERE run.heard < ? AND run.id <> node_report.run LIMIT ?) RETURNING node, instance"
)

_REPLACED_KEPT = 6 * 3600
"""Seconds for which runs are kept that are not the newest of their node, if there are many: a node that reports each
hour has 24 a day, and nobody is shown but the newest. A run that waits for a ticket reports more often than this."""


async def keep_in_bounds(store: Store, settings: AggregatorSettings) -> None:
    """Apply retention and limits every second until cancelled. Retries after failures such as a full disk.

    Args:
        store: where to delete.
        settings: how long and how much to keep, and where.

    Raises:
        DamagedDatabaseError: the database is damaged; it was set aside.
    """
    started = time.time()
    while True:
        await trio.sleep(_EVERY)
        try:
            if store.is_suspect and settings.data_dir is not None:
                await _examine(settings.data_dir / FILE)
            store.is_suspect = False
            store.recover()
            await forget(store, settings, int(time.time()), started=started)
            if settings.data_dir is not None:
                await _move_log(store.database, settings.data_dir / FILE)
        except sqlite3.Error as error:
            store.fail("could not delete expired results", error)


async def forget(store: Store, settings: AggregatorSettings, now: int, *, started: float = 0) -> None:
    """Delete everything that is expired or beyond a limit.

    Args:
        store: where to delete.
        settings: how long and how much to keep.
        now: Unix seconds.
        started: since when nodes can be heard, Unix seconds.

    Raises:
        sqlite3.Error: the database cannot be written.
    """
    before = now - int(settings.retention)
    database, records = store.database, store.records
    while True:
        excess = records.attempts - settings.results_kept
        gone = {
            "attempt": _delete_attempts(database, before, excess),
            "state": _delete_old(store, _OLD_STATES, before),
            "run": _delete_old(store, _OLD_RUNS, before),
        }
        if records.runs.count > settings.bounds.runs / 2 and now % 60 == 0:  # it may read all runs
            gone["run"] += _delete_old(store, _REPLACED_RUNS, now - _REPLACED_KEPT)
        freed, gone["live"] = trim_backlog(
            database, records.live_bytes - settings.bounds.backlog, most=_STEP, before=before
        )
        records.attempts -= gone["attempt"]
        records.states -= gone["state"]
        records.runs.count -= gone["run"]
        if gone["run"]:
            records.throttles.merge_forgotten()
            records.node_reports.forget_with_runs()
        records.live_bytes -= freed
        records.forgotten.update(gone)
        if not any(gone.values()):
            break
        store.version += 1
        await trio.lowlevel.checkpoint()
    await _drop_silent_nodes(store, settings, now, started)
    records.runs.forget(before)
    _forget_names(store, before - _SLACK)


async def _drop_silent_nodes(store: Store, settings: AggregatorSettings, now: int, started: float) -> None:
    reports = store.records.node_reports
    for node, instance in reports.missing(now, started=started, retention=settings.node_retention):
        dropped = reports.drop(node, instance)
        store.records.changes.mark(node, instance)
        store.records.states -= dropped
        store.records.forgotten["state"] += dropped
        store.version += 1
        await trio.lowlevel.checkpoint()


async def _examine(path: Path) -> None:
    """Check the file after an error that damage may have caused."""
    problem = await trio.to_thread.run_sync(partial(damage_in, path, thorough=True), abandon_on_cancel=True)
    if problem:
        raise DamagedDatabaseError(
            f"database {path} is damaged: {problem} (kept as {set_aside(path).name}; restart to create a new one)"
        )


def _delete_attempts(database: sqlite3.Connection, before: int, excess: int) -> int:
    """Delete the oldest attempts; takes longer steps when very many exceed the limit."""
    if excess > 0:
        step = min(max(_STEP, excess // 10), excess, 20 * _STEP)
        return delete_oldest_attempts(database, step)
    old = "SELECT seq FROM (SELECT seq, received FROM attempt ORDER BY seq LIMIT ?) WHERE received < ?"
    return database.execute(f"DELETE FROM attempt WHERE seq IN ({old})", (_STEP, before)).rowcount  # noqa: S608


def _delete_old(store: Store, statement: str, before: int) -> int:
    """Delete rows of nodes, and mark those. Returns the number of rows."""
    deleted = store.database.execute(statement, (before, _STEP)).fetchall()
    for node, instance in set(deleted):
        store.records.changes.mark(node, instance)
    return len(deleted)


def _forget_names(store: Store, before: int) -> None:
    records = store.records
    if not any(names.has_older(before) for names in (records.nodes, records.images, records.instances)):
        return
    database = store.database
    database.execute("BEGIN IMMEDIATE")
    try:
        nodes, instances = records.nodes.forget(before), records.instances.forget(before)
        records.gates.forget(nodes, instances)
        records.node_reports.forget(nodes, instances)
        images = records.images.forget(before)
        records.tallies.forget(images)
        records.tag_moves.forget(images)
        for (node,) in nodes:
            records.changes.mark_everywhere(node)
        if images or instances:  # their numbers may be given to others
            records.orders.forget()
            records.changes.mark_all()
        database.execute("COMMIT")
    except sqlite3.Error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        records.reload()
        raise
    store.version += 1


async def _move_log(database: sqlite3.Connection, path: Path) -> None:
    """Move the write-ahead log into the database, in a thread because it waits for the disk."""
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > _LOG_LARGE or _can_shrink(database, path):
        await trio.to_thread.run_sync(_checkpoint, path)
    if size > _LOG_TOO_LARGE:  # it grows faster than it is moved: start it over
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # execute() would free one page only: SQLite returns an empty row for each page, and Python fetches the first.
    database.executescript("PRAGMA incremental_vacuum(200)")


def _can_shrink(database: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is much larger than the database because the log has freed pages that the file still has."""
    ((pages,), (size,)) = (database.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return path.stat().st_size - int(pages) * int(size) > _MUCH_LARGER


def _checkpoint(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    finally:
        connection.close()
