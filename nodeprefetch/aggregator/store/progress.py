"""The latest progress of the pulls that nodes have under way; in memory only."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from nodeprefetch.aggregator.store.slices import StateKey
from nodeprefetch.events import AttemptFinished, ImageFinished, Progress, PullsPaused, PullsResumed

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
        on_drop: is told whose progress is dropped as there are more.
    """

    def __init__(self, most: int = MOST, on_drop: Callable[[StateKey], None] = lambda _key: None) -> None:
        self._most = most
        self._on_drop = on_drop
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
            dropped, _ = self._known.popitem(last=False)
            self._on_drop(dropped)

    def end(self, key: StateKey, run: int, event: AttemptFinished | ImageFinished) -> None:
        """Drop the progress of a pull that has ended. Ignores a late end of an earlier attempt."""
        known = self._known.get(key)
        if known is None or run < known.run:
            return
        if isinstance(event, ImageFinished) or known.progress is None or event.attempt_id == known.progress.attempt_id:
            del self._known[key]

    def amounts(self, key: StateKey, run: int) -> tuple[int, int, int]:
        """Return bytes that are there, bytes of all layers, and bytes per second; zeros if nothing is known."""
        known = self._known.get(key)
        if known is None or known.run != run or known.progress is None:
            return 0, 0, 0
        progress = known.progress
        return progress.done_bytes, progress.total_bytes, 0 if known.paused else progress.rate

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
