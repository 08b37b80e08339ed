"""Reads the table of states, of up to half a million rows, in slices that let other tasks run in between.

The result is not a snapshot: each slice is read at its own time.
"""

import sqlite3
from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
import trio

_ROWS = 2_000
"""Rows of a slice: a few milliseconds."""

_LARGEST = 2**63 - 1
_Number = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]

StateKey = tuple[_Number, _Number, _Number]
"""Numbers of node, instance and image: the key of the table, and its order."""

FIRST, LAST = (0, 0, 0), (_LARGEST, _LARGEST, _LARGEST)
WITHIN = "(node, instance, image) > (?, ?, ?) AND (node, instance, image) <= (?, ?, ?)"
"""The condition that selects a slice."""


async def slices(
    database: sqlite3.Connection, after: StateKey = FIRST, last: StateKey = LAST
) -> AsyncGenerator[tuple[int, ...], None]:
    """Yield the values for `WITHIN`, slice by slice, in the order of the table.

    Args:
        database: with the table `state`.
        after: the key before the first row to read.
        last: the key of the last row to read.
    """
    select = (
        "SELECT node, instance, image FROM state"
        " WHERE (node, instance, image) > (?, ?, ?) ORDER BY node, instance, image LIMIT 1 OFFSET ?"
    )
    while after < last:
        end = database.execute(select, (*after, _ROWS - 1)).fetchone() or LAST
        end = min(end, last)
        yield (*after, *end)
        after = end
        await trio.lowlevel.checkpoint()
