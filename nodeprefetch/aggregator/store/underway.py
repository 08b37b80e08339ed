"""How far pulls are that are under way: kept in memory alone, as it is told anew within seconds."""

from collections import OrderedDict

from nodeprefetch.events import AttemptFinished, ImageFinished, Progress

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
