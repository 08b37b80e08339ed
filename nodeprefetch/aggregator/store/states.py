"""The state of each image on each node, how events change it, and the progress of running pulls.

Batches may arrive late and more than once: the newest run counts, and within a run a final state does not change.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass

import msgspec

from nodeprefetch.aggregator.store.slices import StateKey
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    ImageFinished,
    Outcome,
    Progress,
    PullsPaused,
    PullsResumed,
)

MOST = 100_000
"""Pulls whose progress is kept; beyond that the least recently updated are dropped."""


@dataclass(kw_only=True, slots=True)
class _Pull:
    run: int
    progress: Progress | None = None
    paused: frozenset[str] = frozenset()
    """Why it is paused."""


class LatestProgress:
    """The latest progress of running pulls, and whether they are paused; in memory only.

    Args:
        most: maximum number of pulls.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[StateKey, _Pull] = OrderedDict()

    def take(self, key: StateKey, run: int, event: Progress | PullsPaused | PullsResumed) -> None:
        """Set the progress of a pull of this run, or what pauses it."""
        known = self._known.get(key)
        if known is None or known.run != run:
            known = self._known[key] = _Pull(run=run)
        match event:
            case Progress():
                known.progress = event
            case PullsPaused():
                known.paused |= {event.reason}
            case PullsResumed():
                known.paused -= {event.reason}
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def end(self, key: StateKey, run: int, event: AttemptFinished | ImageFinished) -> None:
        """Drop the progress of a pull that has ended. Ignores a late end of an earlier attempt."""
        known = self._known.get(key)
        if known is None or run < known.run:
            return
        if isinstance(event, ImageFinished) or known.progress is None or event.attempt_id == known.progress.attempt_id:
            del self._known[key]

    def shown(self, key: StateKey, run: int) -> dict[str, str | int]:
        """Return what /v1/status shows; empty if nothing is known."""
        known = self._known.get(key)
        if known is None or known.run != run:
            return {}
        shown: dict[str, str | int] = {}
        if known.progress is not None:
            shown = {
                "phase": str(known.progress.phase),
                "done_bytes": known.progress.done_bytes,
                "total_bytes": known.progress.total_bytes,
                "rate": 0 if known.paused else known.progress.rate,
            }
        return {**shown, "paused": ",".join(sorted(known.paused))} if known.paused else shown


_FINAL = frozenset(str(outcome) for outcome in Outcome if outcome.is_final)


class ImageState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of an image on a node. Also its shape in /v1/status."""

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

    @property
    def is_final(self) -> bool:
        """Whether it no longer changes in this run."""
        return self.state in _FINAL


def waiting(known: ImageState | None, run: int, at: float) -> ImageState | None:
    """Return the state after the start of a run with this image; None: no change."""
    if known is not None and known.run >= run:
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
    )


def _is_late(known: ImageState, event: AttemptStarted | AttemptFinished | ImageFinished) -> bool:
    return event.at < known.since and not isinstance(event, ImageFinished)


_COLUMNS = "image, run, state, since, attempt, duration, error, error_class, reason, size, digest"
_SELECT = f"SELECT {_COLUMNS} FROM state WHERE node = ? AND instance = ?"  # noqa: S608 - constants
_REPLACE = (
    f"INSERT OR REPLACE INTO state (node, instance, received, {_COLUMNS})"  # noqa: S608 - constants
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class NodeStates:
    """The states of one node and instance, for the duration of a transaction.

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
        """Number of states added to the database, less those removed."""

    def get(self, image: int) -> ImageState | None:
        """Return the state of an image, by its number."""
        return self._states.get(image)

    def put(self, image: int, state: ImageState | None) -> bool:
        """Set the state of an image; None changes nothing. Returns whether it changed."""
        if state is None:
            return False
        if image not in self._states:
            self.growth += 1
        self._states[image] = state
        self._changed.add(image)
        return True

    def drop_others(self, images: Container[int], run: int) -> None:
        """Remove images that are not in the list of this new run."""
        gone = [image for image, state in self._states.items() if image not in images and state.run < run]
        for image in gone:
            del self._states[image]
            self._changed.discard(image)
        self.growth -= len(gone)
        self._database.executemany(
            "DELETE FROM state WHERE node = ? AND instance = ? AND image = ?", [(*self._key, image) for image in gone]
        )

    def write(self, now: int) -> None:
        """Write changed states to the database."""
        node, instance = self._key
        self._database.executemany(
            _REPLACE,
            [(node, instance, now, image, *_row_of(self._states[image])) for image in self._changed],
        )
        self._changed.clear()


def state_of(row: tuple[int, str, float, int, float, str, str, str, int, str]) -> ImageState:
    """Return the state in the columns from `run` to `digest`."""
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
