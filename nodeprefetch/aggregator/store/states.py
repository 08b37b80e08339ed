"""The state of each image on each node, how events change it, and how far pulls under way are.

Batches come at least once, and late: the newest run counts, and within a run nothing goes back from its end.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Container

import msgspec

from nodeprefetch.events import AttemptFinished, AttemptStarted, ImageFinished, Outcome, Progress

MOST = 100_000
"""Pulls kept; of more, those that were told of longest ago are forgotten."""

Place = tuple[int, int, int]
"""Numbers of node, instance and image."""


class UnderWay:
    """Progress by place.

    Args:
        most: the bound.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[Place, tuple[int, Progress]] = OrderedDict()

    def take(self, place: Place, run: int, event: Progress) -> None:
        """So far it is now, in this run."""
        self._known[place] = (run, event)
        self._known.move_to_end(place)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def end(self, place: Place, run: int, event: AttemptFinished | ImageFinished) -> None:
        """It is under way no more. A late end of an earlier attempt ends nothing."""
        known = self._known.get(place)
        if known is None or run < known[0]:
            return
        if isinstance(event, ImageFinished) or event.attempt_id == known[1].attempt_id:
            del self._known[place]

    def shown(self, place: Place, run: int) -> dict[str, str | int]:
        """What /v1/status says of it; empty when nothing is known."""
        known = self._known.get(place)
        if known is None or known[0] != run:
            return {}
        event = known[1]
        return {
            "phase": str(event.phase),
            "done_bytes": event.done_bytes,
            "total_bytes": event.total_bytes,
            "rate": event.rate,
        }


_FINAL = frozenset(str(outcome) for outcome in Outcome if outcome.is_final)


class ImageState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image on a node. Also the shape of an image in /v1/status."""

    run: int
    """Number of the run that said so, in order of arrival; 0: the older tool."""

    state: str
    """An outcome's word."""

    since: float
    """Unix seconds, by the node's clock."""

    attempt: int = 0
    """Number of the latest attempt."""

    duration: float = 0.0
    """Seconds the latest attempt took."""

    error: str = ""
    error_class: str = ""
    reason: str = ""
    size: int = 0
    """Bytes; 0 when not known."""

    digest: str = ""

    @property
    def is_final(self) -> bool:
        """Nothing changes it any more in this run."""
        return self.state in _FINAL


def waiting(known: ImageState | None, run: int, at: float) -> ImageState | None:
    """The state after a run began that wants this image; None: nothing new."""
    if known is not None and known.run >= run:
        return None
    return ImageState(run=run, state=Outcome.WAITING, since=at)


def changed(
    known: ImageState | None, run: int, event: AttemptStarted | AttemptFinished | ImageFinished
) -> ImageState | None:
    """The state after an event of a run; None: the event is old or says nothing new."""
    if known is not None and known.run > run:
        return None
    same_run = known if known is not None and known.run == run else None
    if same_run is not None and (same_run.is_final or _is_late(same_run, event)):
        return None
    before = same_run or ImageState(run=run, state=Outcome.WAITING, since=event.at)
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


def of_older_tool(known: ImageState | None, event: AttemptFinished) -> ImageState | None:
    """The state after a result of the older tool, which tells of attempts alone and of no runs: the latest counts."""
    if known is not None and known.since > event.at:
        return None
    return ImageState(
        run=0,
        state=Outcome.FAILED if event.error else Outcome.SUCCEEDED,
        since=event.at,
        duration=event.duration,
        error=event.error,
        size=event.size,
    )


def _is_late(known: ImageState, event: AttemptStarted | AttemptFinished | ImageFinished) -> bool:
    return event.at < known.since and not isinstance(event, ImageFinished)


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
