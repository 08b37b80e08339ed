"""The gate of a node: decides when it may take pods. Pure: no I/O, and time is an argument.

A new node takes no pods until its images are there (a startup taint, or a condition that a controller looks at). The
gate opens as soon as they are, and all the same when its time is over: a node must not wait for ever. Once it has
opened because the images were there, nothing closes it, and nothing counts any more.

Ages are seconds since the pod's first run on this node.
"""

import math
from collections.abc import Collection
from enum import StrEnum

import msgspec

from nodeprefetch.events import (
    AttemptStarted,
    Event,
    GateOpened,
    ImageFinished,
    Outcome,
    RunEnd,
    RunFinished,
    RunStarted,
)

LOOK_AROUND = 60.0
"""Seconds that each run has to find the images, at most the timeout: one may begin when the time is over. It gives up
before that once it knows that one is missing."""

CANCELLED = "cancelled"
"""Why an image has failed whose pull was interrupted with its run (`ImageFinished.reason`)."""

NAMED = 20
"""Missing images that are named; all are counted."""


class GateState(StrEnum):
    """What has become of the gate."""

    CLOSED = "closed"
    GAVE_UP = "gave-up"
    """It was opened as its time was over. The images may still come."""

    OPEN = "open"
    """The images were there."""


class Gate:
    """The gate during one run.

    Args:
        age: at the start of this run.
        timeout: age at which it opens whether images are there or not; infinite: never.
        state: what earlier runs have left.
        needed: names of the images that must be there, as in the list; None: all.
        is_last_try: nobody runs again after a run in which images failed. So it gives up at the end of such a run.
    """

    def __init__(
        self,
        *,
        age: float,
        timeout: float,
        state: GateState = GateState.CLOSED,
        needed: Collection[str] | None = None,
        is_last_try: bool = False,
    ) -> None:
        self.state = state
        self._timeout = 0.0 if state is GateState.GAVE_UP else timeout
        self._known_at = age + min(LOOK_AROUND, timeout)
        self._needed = needed
        self._is_last_try = is_last_try
        self._images: dict[str, None] = {}
        """Those of the list that have not ended."""

        self._missing: dict[str, None] | None = dict.fromkeys(needed) if needed is not None else None
        """Those needed that are not there; None: not even their names are known."""

        self._is_one_missing = False
        """Whether one of them is known to be missing, in place of not looked for yet."""

        self._has_given_up = False

    @property
    def is_satisfied(self) -> bool:
        """Whether all needed images are known to be on the node."""
        return self._missing is not None and not self._missing

    @property
    def is_one_missing(self) -> bool:
        """Whether one of the needed images is known to be missing, in place of not looked for yet."""
        return self._is_one_missing

    @property
    def wake_at(self) -> float:
        """The age at which `due` has something to say if nothing happens before; infinite: never."""
        if self.state is GateState.OPEN or self._has_given_up or self.is_satisfied:
            return math.inf
        return self._timeout if self._is_one_missing else max(self._timeout, self._known_at)

    def due(self, age: float) -> GateOpened | None:
        """Give up, if it is time."""
        return self._give_up(age) if age >= self.wake_at else None

    def fail(self, age: float, error: str) -> GateOpened | None:
        """Give up if the time is over: the run cannot begin, so nobody will know which images are missing."""
        opened = self._give_up(age) if age >= self._timeout else None
        return opened and msgspec.structs.replace(opened, error=error)

    def take(self, event: Event, age: float) -> GateOpened | None:
        """Take an event of the run. Returns that the gate opens because of it.

        Opens for images at the end of the run, with everything else that is reported there; or before, where only
        others that are not needed are still to come.
        """
        match event:
            case RunStarted():
                self._images = dict.fromkeys(event.images)
                if self._missing is None:
                    self._missing = dict(self._images)
            case AttemptStarted() if not event.is_present and self._needs(event.image):
                self._is_one_missing = True
            case ImageFinished():
                self._images.pop(event.image, None)
                if event.outcome is Outcome.FAILED:
                    # One that was cancelled may not even have been looked for.
                    is_known = event.reason != CANCELLED and self._needs(event.image)
                    self._is_one_missing = self._is_one_missing or is_known
                elif self._missing is not None:
                    self._missing.pop(event.image, None)
                if self.is_satisfied and self._images:
                    return self._open(age)
            case RunFinished():
                return self._end(event, age)
            case _:
                pass
        return self.due(age)

    def _needs(self, image: str) -> bool:
        return self._needed is None or image in self._needed

    def _end(self, event: RunFinished, age: float) -> GateOpened | None:
        if self.is_satisfied:
            return self._open(age)
        is_over = age >= self._timeout and event.end is not RunEnd.STOPPED
        is_last = self._is_last_try and event.end in {RunEnd.FINISHED, RunEnd.TIMED_OUT}
        return self._give_up(age) if is_over or is_last else self.due(age)

    def _open(self, age: float) -> GateOpened | None:
        if self.state is GateState.OPEN:
            return None
        self.state = GateState.OPEN
        return GateOpened(after=age)

    def _give_up(self, age: float) -> GateOpened | None:
        if self.state is GateState.OPEN or self._has_given_up:
            return None
        self.state, self._has_given_up = GateState.GAVE_UP, True
        missing = tuple(self._missing or ())
        return GateOpened(after=age, gave_up=True, missing=missing[:NAMED], missing_count=len(missing))
