"""The states of the images of one installation on one node: read, changed, and written back in one go."""

import sqlite3
from collections.abc import Container

from nodeprefetch.aggregator.store.states import ImageState

_COLUMNS = "image, run, state, since, attempt, duration, error, error_class, reason, size, digest"
_SELECT = f"SELECT {_COLUMNS} FROM state WHERE node = ? AND instance = ?"  # noqa: S608 - of constants
_REPLACE = (
    f"INSERT OR REPLACE INTO state (node, instance, received, {_COLUMNS})"  # noqa: S608 - of constants
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class NodeStates:
    """Those states, for the length of one transaction.

    Args:
        database: with the table `state`.
        instance: its number.
        node: its number.
    """

    def __init__(self, database: sqlite3.Connection, instance: int, node: int) -> None:
        self._database = database
        self._key = (node, instance)
        rows = database.execute(_SELECT, self._key)
        self._states = {row[0]: state_of(row[1:]) for row in rows}
        self._changed: set[int] = set()
        self.growth = 0
        """By how many the states in the database grow."""

    def get(self, image: int) -> ImageState | None:
        """The state of an image, by its number."""
        return self._states.get(image)

    def put(self, image: int, state: ImageState | None) -> bool:
        """A new state; None changes nothing. Returns whether it was one."""
        if state is None:
            return False
        if image not in self._states:
            self.growth += 1
        self._states[image] = state
        self._changed.add(image)
        return True

    def drop_others(self, images: Container[int], run: int) -> None:
        """Forget images that the list of this new run has no more."""
        gone = [image for image, state in self._states.items() if image not in images and state.run < run]
        for image in gone:
            del self._states[image]
            self._changed.discard(image)
        self.growth -= len(gone)
        self._database.executemany(
            "DELETE FROM state WHERE node = ? AND instance = ? AND image = ?", [(*self._key, image) for image in gone]
        )

    def write(self, now: int) -> None:
        """Write what changed."""
        node, instance = self._key
        self._database.executemany(
            _REPLACE,
            [(node, instance, now, image, *_row_of(self._states[image])) for image in self._changed],
        )
        self._changed.clear()


def state_of(row: tuple[int, str, float, int, float, str, str, str, int, str]) -> ImageState:
    """A state as the columns from `run` to `digest` have it."""
    run, state, since, attempt, duration, error, error_class, reason, size, digest = row
    return ImageState(
        run=run,
        state=state,
        since=since,
        attempt=attempt,
        duration=duration,
        error=error,
        error_class=error_class,
        reason=reason,
        size=size,
        digest=digest,
    )


def _row_of(state: ImageState) -> tuple[int, str, float, int, float, str, str, str, int, str]:
    return (
        state.run,
        str(state.state),
        state.since,
        state.attempt,
        state.duration,
        state.error,
        state.error_class,
        state.reason,
        state.size,
        state.digest,
    )
