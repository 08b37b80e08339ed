"""Finds out whether the database's file is damaged, and sets a damaged one aside. It is never deleted.

Results are those of a day, and each node's label says the same; an aggregator that takes none is worth nothing. So a
damaged file makes room for a new one by itself, and is kept for whoever wants to look into it.
"""

import sqlite3
from collections.abc import Container
from contextlib import closing
from pathlib import Path

from nodeprefetch.errors import NodeprefetchError


class DamagedDatabaseError(NodeprefetchError):
    """The file was found to be damaged while it was used. It is set aside; a new start begins a new one."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether this error says that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT


def is_of_version(path: Path, versions: Container[int]) -> bool:
    """Whether it is, or is too damaged to say so: a file of somebody else is nothing to be set aside.

    Raises:
        sqlite3.Error: it cannot be read, or is no database at all.
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
    """What is wrong with the structure of a database; empty when nothing is. Reads all of it: a second for 200 MB.

    Args:
        path: its file.
        thorough: also compare indexes with their tables, in twice the time.

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
    """Rename it, in place of one that was set aside before. Returns the new path.

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
