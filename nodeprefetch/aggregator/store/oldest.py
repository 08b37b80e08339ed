"""Deletes the oldest attempts and backlog rows beyond a number or size. Inside or outside a transaction."""

import sqlite3

_ALL_TIMES = -1


def delete_oldest_attempts(database: sqlite3.Connection, count: int) -> int:
    """Delete the attempts that arrived first. Returns how many were deleted."""
    oldest = "SELECT seq FROM attempt ORDER BY seq LIMIT ?"
    return database.execute(f"DELETE FROM attempt WHERE seq IN ({oldest})", (count,)).rowcount  # noqa: S608


def trim_backlog(database: sqlite3.Connection, excess: int, *, most: int, before: int = _ALL_TIMES) -> tuple[int, int]:
    """Delete the oldest rows of the live stream's backlog.

    Args:
        database: with the table `live`.
        excess: bytes to free.
        most: maximum number of rows to delete.
        before: also delete rows received before this Unix second, whatever the size.

    Returns:
        bytes and rows deleted.
    """
    freed, last, rows = 0, 0, 0
    for number, received, size in database.execute(
        "SELECT id, received, length(body) FROM live ORDER BY id LIMIT ?", (most,)
    ):
        if freed >= excess and received >= before:
            break
        freed, last, rows = freed + size, number, rows + 1
    if rows:
        database.execute("DELETE FROM live WHERE id <= ?", (last,))
    return freed, rows
