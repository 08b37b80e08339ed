"""Checks the database file for damage, and sets a damaged one aside. Never deletes it.

The file holds the results of a day, which the nodes' labels have too, and an aggregator that stores nothing is useless.
So a damaged file is replaced without a person, and kept for inspection.
"""

import sqlite3
from collections.abc import Container
from contextlib import closing
from pathlib import Path

from nodeprefetch.errors import NodeprefetchError


class DamagedDatabaseError(NodeprefetchError):
    """Raised when the file in use is damaged. It is set aside; the next start creates a new one."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether this error means that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT


def is_of_version(path: Path, versions: Container[int]) -> bool:
    """Whether the file has one of these versions, or is too damaged to tell. Other programs' files are left alone.

    Raises:
        sqlite3.Error: it cannot be read, or is not a database.
    """
    try:
        with closing(sqlite3.connect(path)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return True
        raise
    return version in versions


def damage_in(path: Path, *, thorough: bool) -> str:
    """Return what is wrong with the structure of a database, or an empty text. Reads all of it: a second for 200 MB.

    Args:
        path: its file.
        thorough: also compare indexes with their tables, which takes twice as long.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    check = "integrity_check" if thorough else "quick_check"
    try:
        with closing(sqlite3.connect(path)) as database:
            (found,) = database.execute(f"PRAGMA {check}(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    return "" if found == "ok" else " ".join(str(found).split())


def set_aside(path: Path) -> Path:
    """Rename a file, replacing one set aside before. Returns the new path.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = path.with_name(path.name + ".damaged")
    path.replace(aside)
    log = path.with_name(path.name + "-wal")
    if log.exists():
        log.replace(aside.with_name(aside.name + "-wal"))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return aside
