"""The order of the images in the newest list of each instance; in memory only."""

from collections import OrderedDict
from collections.abc import Sequence

_LISTS = 16
"""Lists of an instance that are recognized."""


class ListOrders:
    """The newest list of each instance.

    While nodes change from one list to another, runs with both begin in turns. So a list that has been seen before is
    not new.
    """

    def __init__(self) -> None:
        self._seen: dict[int, OrderedDict[int, None]] = {}
        self._newest: dict[int, tuple[int, ...]] = {}

    def take(self, instance: int, images: Sequence[int]) -> None:
        """Take the list of a run that has started, as numbers of images."""
        seen = self._seen.setdefault(instance, OrderedDict())
        known = hash(tuple(images))
        if known not in seen:
            self._newest[instance] = tuple(images)
        seen[known] = None
        seen.move_to_end(known)
        if len(seen) > _LISTS:
            seen.popitem(last=False)

    def newest(self, instance: int) -> tuple[int, ...]:
        """Return the newest list of an instance; empty if no run has started since this process did."""
        return self._newest.get(instance, ())

    def forget(self) -> None:
        """Forget all lists: numbers may stand for other images now."""
        self._seen.clear()
        self._newest.clear()
