"""How often nodes should report the progress of their pulls: the more nodes pull at the same time, the less often."""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from nodeprefetch.batch import Batch
from nodeprefetch.events import Progress

SHORTEST, LONGEST = 5, 60
"""Seconds."""

_RATE = 60
"""Batches with progress per second that all nodes together should send. Each costs about a millisecond."""


class ProgressInterval:
    """Counts the nodes that report progress.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: OrderedDict[tuple[str, str], float] = OrderedDict()
        """When a node of an instance last reported progress; the longest ago first."""

    def note(self, batch: Batch) -> None:
        """Take a batch that was accepted."""
        if any(isinstance(event, Progress) for event in batch.events):
            key = (batch.instance, batch.node)
            self._heard[key] = self._clock()
            self._heard.move_to_end(key)

    @property
    def seconds(self) -> int:
        """Seconds between two batches with progress of a node."""
        while self._heard and next(iter(self._heard.values())) < self._clock() - 2 * LONGEST:
            self._heard.popitem(last=False)
        return min(max(ceil(len(self._heard) / _RATE), SHORTEST), LONGEST)
