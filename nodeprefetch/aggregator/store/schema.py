"""The tables of the database; opens and upgrades it."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nodeprefetch.aggregator.store.damage import damage_in, is_of_version, set_aside
from nodeprefetch.errors import UsageError

FILE = "results.sqlite3"
VERSION = 5

_SCHEMA = """
CREATE TABLE instance (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, heard INTEGER NOT NULL);
CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    heard INTEGER NOT NULL,
    zone TEXT NOT NULL DEFAULT '',         -- of the node object; '' if unknown
    pool TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL DEFAULT 0        -- Unix seconds
);
CREATE TABLE image (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, heard INTEGER NOT NULL);

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- in order of arrival: later is newer, whatever clocks say
    run_id TEXT NOT NULL,
    instance INTEGER NOT NULL REFERENCES instance,
    node INTEGER NOT NULL REFERENCES node,
    version TEXT NOT NULL,
    runtime TEXT NOT NULL DEFAULT '',
    started_at REAL,
    ended_at REAL,
    ended TEXT NOT NULL DEFAULT '',        -- '' while it runs
    heard INTEGER NOT NULL,                -- Unix seconds of the last batch, by our clock
    list_digest TEXT NOT NULL DEFAULT '',  -- identifies the image list; '' if unknown
    UNIQUE (run_id, node, instance)
);
CREATE INDEX run_heard ON run (heard);

CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY,               -- in order of arrival
    run INTEGER NOT NULL,                  -- 0: from image-prefetcher, which has no runs
    attempt_id TEXT NOT NULL,
    node INTEGER NOT NULL REFERENCES node,
    image INTEGER NOT NULL REFERENCES image,
    attempt INTEGER NOT NULL,
    started_at REAL NOT NULL,
    duration REAL NOT NULL,                -- seconds
    error TEXT NOT NULL,
    error_class TEXT NOT NULL,
    reason TEXT NOT NULL,
    credential TEXT NOT NULL,
    size INTEGER NOT NULL,                 -- bytes
    digest TEXT NOT NULL,
    received INTEGER NOT NULL,             -- Unix seconds by our clock
    timeout REAL NOT NULL DEFAULT 0,       -- seconds; 0 if unknown
    UNIQUE (run, node, attempt_id)         -- by run first: rows that arrive together are stored together
);
CREATE INDEX attempt_node ON attempt (node);

CREATE TABLE state (
    instance INTEGER NOT NULL REFERENCES instance,
    node INTEGER NOT NULL REFERENCES node,
    image INTEGER NOT NULL REFERENCES image,
    run INTEGER NOT NULL,
    state TEXT NOT NULL,
    since REAL NOT NULL,                   -- Unix seconds by the node's clock
    attempt INTEGER NOT NULL,
    duration REAL NOT NULL,
    error TEXT NOT NULL,
    error_class TEXT NOT NULL,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    digest TEXT NOT NULL,
    received INTEGER NOT NULL,
    moved_run INTEGER NOT NULL DEFAULT 0,  -- the last move of the tag on this node: its run,
    moved_at REAL NOT NULL DEFAULT 0,      -- Unix seconds by the node's clock,
    moved_from TEXT NOT NULL DEFAULT '',   -- and digests; '' if there was none
    moved_to TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (node, instance, image)
) WITHOUT ROWID;
CREATE INDEX state_received ON state (received);

CREATE TABLE tally (
    image INTEGER NOT NULL REFERENCES image,
    error_class TEXT NOT NULL,             -- '' for successes
    seconds REAL NOT NULL,
    bytes INTEGER NOT NULL,
    buckets BLOB NOT NULL,                 -- attempts by duration
    PRIMARY KEY (image, error_class)
) WITHOUT ROWID;

CREATE TABLE tag_moves (
    image INTEGER PRIMARY KEY REFERENCES image,
    moves INTEGER NOT NULL
);

CREATE TABLE gate (
    node INTEGER NOT NULL REFERENCES node,
    instance INTEGER NOT NULL REFERENCES instance,
    run INTEGER NOT NULL,
    at REAL NOT NULL,                      -- Unix seconds by the node's clock
    gave_up INTEGER NOT NULL,              -- 1: open though images were missing
    missing INTEGER NOT NULL,              -- how many
    PRIMARY KEY (node, instance)
) WITHOUT ROWID;

CREATE TABLE node_report (
    node INTEGER NOT NULL REFERENCES node,
    instance INTEGER NOT NULL REFERENCES instance,
    run INTEGER NOT NULL,                  -- the newest
    report_every REAL NOT NULL DEFAULT 0,  -- seconds between reports that the node promised; 0: it did not
    rejected_at REAL,                      -- Unix seconds by the node's clock, of the lists that it does not use,
    problem TEXT NOT NULL DEFAULT '',      -- the first one in them,
    problems INTEGER NOT NULL DEFAULT 0,   -- and how many there are; NULL: it uses the newest lists
    is_gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node, instance)
) WITHOUT ROWID;

CREATE TABLE throttled (
    run INTEGER NOT NULL,                  -- 0: all runs that are not in the database any more
    registry TEXT NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (run, registry)
) WITHOUT ROWID;

CREATE TABLE live (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received INTEGER NOT NULL,
    body BLOB NOT NULL                     -- a Batch in msgpack
);
"""

_ATTEMPT = _SCHEMA[_SCHEMA.index("CREATE TABLE attempt") : _SCHEMA.index("CREATE TABLE state")]
_FROM_1 = f"""
DROP INDEX attempt_node; ALTER TABLE attempt RENAME TO old;
{_ATTEMPT}
INSERT INTO attempt SELECT * FROM old; DROP TABLE old;
"""  # noqa: S608 - constants
"""In version 1 the key of attempts had no node, so one node could replace the results of another."""

_FROM_2 = _SCHEMA[_SCHEMA.index("CREATE TABLE throttled") : _SCHEMA.index("CREATE TABLE live")]

_FROM_3 = (
    _SCHEMA[_SCHEMA.index("CREATE TABLE tag_moves") : _SCHEMA.index("CREATE TABLE throttled")]
    + """
ALTER TABLE state ADD COLUMN moved_run INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN moved_at REAL NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN moved_from TEXT NOT NULL DEFAULT '';
ALTER TABLE state ADD COLUMN moved_to TEXT NOT NULL DEFAULT '';
"""
)

_FROM_4 = """
ALTER TABLE run ADD COLUMN list_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN timeout REAL NOT NULL DEFAULT 0;
CREATE INDEX attempt_node ON attempt (node);
ALTER TABLE node ADD COLUMN zone TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN pool TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN created REAL NOT NULL DEFAULT 0;
"""

_UPGRADES = {
    1: _FROM_4 + _FROM_1 + _FROM_2 + _FROM_3,  # _FROM_1 copies all columns, so they must be there
    2: _FROM_2 + _FROM_3 + _FROM_4,
    3: _FROM_3 + _FROM_4,
    4: _FROM_4,
}
"""What makes a database of an earlier version one of this version."""


@contextmanager
def open_database(
    directory: Path | None, log: Callable[[str], None] = lambda _line: None
) -> Iterator[sqlite3.Connection]:
    """Open the database for this process only, creating it if it does not exist.

    WAL with synchronous=NORMAL: a commit writes to the log file without flushing it to the disk. Killing the process
    loses nothing, because the kernel has the data. A crash of the machine may lose the last commits, and never damages
    the file (https://sqlite.org/pragma.html#pragma_synchronous).

    Args:
        directory: where the file is; None: in memory.
        log: logs a line when a damaged file was set aside.

    Raises:
        UsageError: the directory cannot be used, another process uses it, or the file is not such a database.
    """
    if directory is None:
        with _closing(":memory:") as database:
            database.executescript(_SCHEMA)
            yield database
        return
    with _locked(directory):
        path = directory / FILE
        try:
            _make_room(path, log)
            with _closing(path) as database:
                _prepare(database, path)
                yield database
        except sqlite3.DatabaseError as error:
            raise UsageError([f"cannot use database {path}: {error}"]) from error


def _make_room(path: Path, log: Callable[[str], None]) -> None:
    """Set aside the file if it is ours and damaged."""
    if not path.exists() or not is_of_version(path, (*_UPGRADES, VERSION)):
        return
    if problem := damage_in(path, thorough=False) or _missing_in(path):
        try:
            aside = set_aside(path)
        except OSError as error:
            raise UsageError([f"database {path} is damaged: {problem}; cannot rename it: {error}"]) from error
        log(f"database {path} is damaged: {problem} (kept as {aside.name}; creating a new one)")


def _missing_in(path: Path) -> str:
    """Return which column a file of this version lacks: damage to its schema may be valid SQL. Empty if none."""
    with _closing(path) as database, _closing(":memory:") as intact:
        if database.execute("PRAGMA user_version").fetchone() != (VERSION,):
            return ""
        intact.executescript(_SCHEMA)
        missing = _columns(intact) - _columns(database)
    return f"no column {min(missing)}" if missing else ""


def _columns(database: sqlite3.Connection) -> set[str]:
    columns = "SELECT t.name || '.' || c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c"
    return {name for (name,) in database.execute(columns)}


@contextmanager
def _closing(path: Path | str) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path, isolation_level=None, cached_statements=128)
    try:
        database.execute("PRAGMA temp_store = MEMORY")  # pods have no directory for temporary files
        yield database
    finally:
        database.close()


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in {0, *_UPGRADES, VERSION}:
        raise UsageError([f"cannot use database {path}: it has version {version}, this program supports {VERSION}"])
    if version == 0 and database.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise UsageError([f"cannot use database {path}: it has tables of another program"])
    if version == 0:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # must come before the first write
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")  # the retention task does it in a thread: it waits for the disk
    database.execute("PRAGMA cache_size = -16000")  # KiB
    if version == 0:
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    elif version in _UPGRADES:
        database.executescript(f"BEGIN; {_UPGRADES[version]} PRAGMA user_version = {VERSION}; COMMIT;")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError([f"cannot use data directory {directory}: {error.strerror}"]) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError([f"cannot use data directory {directory}: another aggregator uses it"]) from error
        yield
    finally:
        os.close(handle)
