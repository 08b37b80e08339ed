"""The state of each image on each node, and how events change it.

Batches may arrive late and more than once: the newest run counts, and within a run a final state does not change.
"""

import sqlite3
from collections.abc import Container

import msgspec

from nodeprefetch.events import ON_NODE, AttemptFinished, AttemptStarted, ImageFinished, Outcome, TagMoved

_FINAL = frozenset(str(outcome) for outcome in Outcome if outcome.is_final)


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A move of a tag on a node."""

    run: int
    """Number of the run that reported it; 0: gRPC."""

    at: float
    """Unix seconds, by the node's clock."""

    before: str
    """Digest."""

    after: str


class ImageState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of an image on a node."""

    run: int
    """Number of the run that reported it, in order of arrival; 0: image-prefetcher."""

    state: str
    """Value of an `Outcome`."""

    since: float
    """Unix seconds, by the node's clock."""

    attempt: int = 0
    """Number of the latest attempt."""

    duration: float = 0.0
    """Seconds that the latest attempt took."""

    error: str = ""
    error_class: str = ""
    reason: str = ""
    size: int = 0
    """Bytes; 0 if unknown."""

    digest: str = ""
    moved: Move | None = None
    """The last move of its tag, which stays when the image gets another state."""

    @property
    def is_final(self) -> bool:
        """Whether it no longer changes in this run."""
        return self.state in _FINAL

    @property
    def is_on_node(self) -> bool:
        """Whether the runtime had the image when it got this state."""
        return self.state in ON_NODE


def waiting(known: ImageState | None, run: int, at: float, *, is_warm: bool = False) -> ImageState | None:
    """Return the state after the start of a run with this image; None: no change.

    Args:
        known: its state.
        run: number of the run.
        at: Unix seconds.
        is_warm: images that were on the node count as present until the run finds otherwise.
    """
    if known is not None and (known.run >= run or (is_warm and known.is_on_node)):
        return None
    return ImageState(run=run, state=Outcome.WAITING, since=at)


def changed(
    known: ImageState | None, run: int, event: AttemptStarted | AttemptFinished | ImageFinished
) -> ImageState | None:
    """Return the state after an event of a run; None: no change, for example because the event is old."""
    if known is not None and known.run > run:
        return None
    same_run = known if known is not None and known.run == run else None
    if same_run is not None and (same_run.is_final or _is_late(same_run, event)):
        return None
    before = same_run or ImageState(run=run, state=Outcome.WAITING, since=event.at)
    if same_run is None and known is not None and known.is_on_node:
        # A warm run has not found otherwise so far.
        if isinstance(event, AttemptStarted) and event.is_present:
            return None
        if isinstance(event, AttemptFinished):
            return msgspec.structs.replace(
                known,
                attempt=event.attempt,
                duration=event.duration,
                size=event.size or known.size,
                digest=event.digest or known.digest,
            )
        if isinstance(event, ImageFinished) and event.attempts:
            before = known
    if isinstance(event, AttemptStarted):
        return msgspec.structs.replace(before, state=Outcome.PULLING, since=event.at, attempt=event.attempt)
    if isinstance(event, AttemptFinished):
        return msgspec.structs.replace(
            before,
            state=Outcome.WAITING if event.error else Outcome.PULLING,
            since=event.at,
            attempt=event.attempt,
            duration=event.duration,
            error=event.error,
            error_class=event.error_class,
            reason=event.reason,
            size=event.size,
            digest=event.digest,
        )
    return ImageState(
        run=run,
        state=event.outcome,
        since=event.at,
        attempt=event.attempts,
        duration=before.duration,
        error=event.error,
        error_class=event.error_class,
        reason=event.reason,
        size=event.size or before.size,
        digest=event.digest or before.digest,
    )


def legacy_state(known: ImageState | None, event: AttemptFinished) -> ImageState | None:
    """Return the state after a result of image-prefetcher, which reports attempts without runs: the latest counts."""
    if known is not None and known.since > event.at:
        return None
    return ImageState(
        run=0,
        state=Outcome.FAILED if event.error else Outcome.SUCCEEDED,
        since=event.at,
        duration=event.duration,
        error=event.error,
        size=event.size,
        digest=event.digest,
    )


def _is_late(known: ImageState, event: AttemptStarted | AttemptFinished | ImageFinished) -> bool:
    return event.at < known.since and not isinstance(event, ImageFinished)


_COLUMNS = "run, state, since, attempt, duration, error, error_class, reason, size, digest"
_MOVED = "moved_run, moved_at, moved_from, moved_to"
_KEY = "node = ? AND instance = ?"
_SELECT = f"SELECT {_COLUMNS}, {_MOVED} FROM state WHERE {_KEY} AND image = ?"  # noqa: S608 - constants
_OLDER = f"SELECT image FROM state WHERE {_KEY} AND run < ?"  # noqa: S608 - constants
_DELETE = f"DELETE FROM state WHERE {_KEY} AND image = ?"  # noqa: S608 - constants
_REPLACE = (
    f"INSERT OR REPLACE INTO state (node, instance, received, image, {_COLUMNS}, {_MOVED})"  # noqa: S608 - constants
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class NodeStates:
    """The states of one node and instance, for the duration of a transaction. Reads those that are asked for.

    Args:
        database: with the table `state`.
        instance: its number.
        node: its number.
    """

    def __init__(self, database: sqlite3.Connection, instance: int, node: int) -> None:
        self._database = database
        self._key = (node, instance)
        self._states: dict[int, ImageState | None] = {}
        self._changed: set[int] = set()
        self.growth = 0
        """Number of states added to the database, less those removed."""

    def get(self, image: int) -> ImageState | None:
        """Return the state of an image, by its number."""
        if image not in self._states:
            row = self._database.execute(_SELECT, (*self._key, image)).fetchone()
            self._states[image] = _state_of(row) if row else None
        return self._states[image]

    def put(self, image: int, state: ImageState | None) -> bool:
        """Set the state of an image; None changes nothing. Returns whether it changed."""
        if state is None:
            return False
        known = self.get(image)
        if known is None:
            self.growth += 1
        elif state.moved is None and known.moved is not None:
            state = msgspec.structs.replace(state, moved=known.moved)
        self._states[image] = state
        self._changed.add(image)
        return True

    def move(self, image: int, run: int, event: TagMoved) -> bool:
        """Record a move of an image's tag. Returns whether it is new."""
        known = self.get(image) or ImageState(run=run, state=Outcome.WAITING, since=event.at)
        if known.moved is not None and (known.moved.run, known.moved.at) >= (run, event.at):
            return False
        move = Move(run=run, at=event.at, before=event.before, after=event.after)
        return self.put(image, msgspec.structs.replace(known, moved=move))

    def drop_others(self, images: Container[int], run: int) -> None:
        """Remove images that are not in the list of this new run."""
        older = [image for (image,) in self._database.execute(_OLDER, (*self._key, run))]
        gone = [image for image in older if image not in images]
        self._states.update(dict.fromkeys(gone))
        self._changed.difference_update(gone)
        self.growth -= len(gone)
        self._database.executemany(_DELETE, [(*self._key, image) for image in gone])

    def write(self, now: int) -> None:
        """Write changed states to the database."""
        node, instance = self._key
        self._database.executemany(
            _REPLACE,
            [
                (node, instance, now, image, *_row_of(state))
                for image in self._changed
                if (state := self._states[image]) is not None
            ],
        )
        self._changed.clear()


_Row = tuple[int, str, float, int, float, str, str, str, int, str, int, float, str, str]
"""The columns from `run` to `moved_to`."""


def _state_of(row: _Row) -> ImageState:
    run, state, since, attempt, duration, error, error_class, reason, size, digest, moved_run, at, before, after = row
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
        moved=Move(run=moved_run, at=at, before=before, after=after) if before else None,
    )


def _row_of(state: ImageState) -> _Row:
    moved = state.moved or _NOT_MOVED
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
        moved.run,
        moved.at,
        moved.before,
        moved.after,
    )


_NOT_MOVED = Move(run=0, at=0, before="", after="")
