"""The database: its tables, and how it is opened."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nodeprefetch.aggregator.store.damage import damage_in, is_of_version, set_aside
from nodeprefetch.errors import UsageError

FILE = "results.sqlite3"
VERSION = 2

_SCHEMA = """
CREATE TABLE instance (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, heard INTEGER NOT NULL);
CREATE TABLE node (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, heard INTEGER NOT NULL);
CREATE TABLE image (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, heard INTEGER NOT NULL);

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- in order of arrival: what comes later is newer, whatever clocks say
    run_id TEXT NOT NULL,
    instance INTEGER NOT NULL REFERENCES instance,
    node INTEGER NOT NULL REFERENCES node,
    version TEXT NOT NULL,
    runtime TEXT NOT NULL DEFAULT '',
    started_at REAL,
    ended_at REAL,
    ended TEXT NOT NULL DEFAULT '',        -- '' while it runs
    heard INTEGER NOT NULL,                -- Unix seconds by our clock, of the last batch
    UNIQUE (run_id, node, instance)
);
CREATE INDEX run_heard ON run (heard);

CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY,               -- in order of arrival
    run INTEGER NOT NULL,                  -- 0: from the older tool, which knows no runs
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
    UNIQUE (run, node, attempt_id)         -- by run first: what comes together lies together
);

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

CREATE TABLE live (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received INTEGER NOT NULL,
    body BLOB NOT NULL                     -- a Batch in msgpack
);
"""

_ATTEMPT = _SCHEMA[_SCHEMA.index("CREATE TABLE attempt") : _SCHEMA.index("CREATE TABLE state")]
_FROM_1 = "ALTER TABLE attempt RENAME TO old;" + _ATTEMPT + "INSERT INTO attempt SELECT * FROM old; DROP TABLE old;"  # noqa: S608
"""In version 1 attempts had no node in their key: one node could replace what another had reported."""


@contextmanager
def open_database(
    directory: Path | None, log: Callable[[str], None] = lambda _line: None
) -> Iterator[sqlite3.Connection]:
    """Open the database, making it where there is none, for this process alone.

    WAL with synchronous=NORMAL: a commit is a write to the log file without a flush to the disk. What was written is
    the kernel's, so that killing the process loses nothing; a crash of the machine may lose the last commits, and
    never harms the file (https://sqlite.org/pragma.html#pragma_synchronous).

    Args:
        directory: where its file is; None: in memory.
        log: takes a line for people: a damaged file was set aside, and a new one is begun.

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
            raise UsageError([f"the database {path} cannot be used: {error}"]) from error


def _make_room(path: Path, log: Callable[[str], None]) -> None:
    """Set a damaged file of ours aside."""
    if not path.exists() or not is_of_version(path, (1, VERSION)):
        return
    if problem := damage_in(path, thorough=False):
        try:
            aside = set_aside(path)
        except OSError as error:
            raise UsageError([f"the database {path} is damaged: {problem}; cannot rename it: {error}"]) from error
        log(f"the database {path} is damaged: {problem}; kept as {aside.name}, beginning a new one")


@contextmanager
def _closing(path: Path | str) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path, isolation_level=None, cached_statements=128)
    try:
        yield database
    finally:
        database.close()


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in {0, 1, VERSION}:
        raise UsageError([f"the database {path} is of version {version}; this program knows {VERSION}"])
    if version == 0 and database.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise UsageError([f"the database {path} cannot be used: it has tables of another program"])
    if version == 0:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")  # the retention task does it, in a thread: it waits for the disk
    database.execute("PRAGMA cache_size = -16000")  # KiB
    if version == 0:
        database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    elif version == 1:
        database.executescript(f"BEGIN; {_FROM_1} PRAGMA user_version = {VERSION}; COMMIT;")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError([f"the data directory {directory} cannot be used: {error.strerror}"]) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError([f"the data directory {directory} is used by another aggregator"]) from error
        yield
    finally:
        os.close(handle)
