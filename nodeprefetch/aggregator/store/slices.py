"""Goes through the table of states in slices, between which others go on: it may have half a million rows.

What is read so is not of one moment: each slice is as it was when its turn came.
"""

import sqlite3
from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
import trio

_ROWS = 2_000
"""Rows of a slice: some milliseconds."""

_LARGEST = 2**63 - 1
_Number = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]

Key = tuple[_Number, _Number, _Number]
"""Numbers of node, instance and image: the order of the table."""

FIRST, LAST = (0, 0, 0), (_LARGEST, _LARGEST, _LARGEST)
WITHIN = "(node, instance, image) > (?, ?, ?) AND (node, instance, image) <= (?, ?, ?)"
"""The condition that leaves a slice."""


async def slices(
    database: sqlite3.Connection, after: Key = FIRST, last: Key = LAST
) -> AsyncGenerator[tuple[int, ...], None]:
    """What to fill in for `WITHIN`, slice by slice, in the order of the table.

    Args:
        database: with the table `state`.
        after: the key before the first one of interest.
        last: the last key of interest.
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
