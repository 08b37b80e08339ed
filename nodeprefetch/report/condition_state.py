"""Decides what the node's condition says. Pure functions, but for what has been taken of the run's events."""

import math
from typing import NamedTuple

from nodeprefetch.events import Event, GateOpened, ListRejected
from nodeprefetch.kube import Condition
from nodeprefetch.report.gate import Gate, GateState
from nodeprefetch.report.run_result import SUCCEEDED, TEXT_LIMIT, RunResult, bounded, images_text
from nodeprefetch.values.timestamp import format_timestamp

TRUE, FALSE = "True", "False"
IMAGES_PRESENT, GAVE_UP = "ImagesPresent", "GaveUp"
"""Reasons of a condition that is true."""

PULLING, PULL_FAILED, LIST_INVALID = "Pulling", "PullFailed", "ListInvalid"
"""Reasons of one that is false."""

MESSAGE_LIMIT = 1024
"""Characters of the condition's message."""

HEARTBEAT = 5 * 60.0
"""Seconds after which an equal condition is written again, where there is a heartbeat."""


class State(NamedTuple):
    """What the condition says."""

    status: str
    reason: str
    message: str


class Findings:
    """What the condition depends on: the result of the run, whether it used the newest lists, and the gate.

    Args:
        is_warm: the last run found all images, and has reported it.
        gate: decides when the node takes pods; None: once it has all images.
    """

    def __init__(self, *, is_warm: bool = False, gate: Gate | None = None) -> None:
        self.result = RunResult(is_warm=is_warm)
        self._gate = gate
        self._rejected: ListRejected | None = None
        self._gave_up: GateOpened | None = None
        self._is_opened = False
        """Whether the gate has opened for its images, while others are still to come."""

    def take(self, event: Event) -> None:
        """Take an event of the run."""
        self.result.take(event)
        match event:
            case ListRejected():
                self._rejected = event
            case GateOpened(gave_up=True):
                self._gave_up = event
            case GateOpened():
                self._is_opened = True
            case _:
                pass

    def final_state(self) -> State:
        """What the condition says after the run. Equal results have equal texts, so that they need not be written."""
        if self._rejected is not None and not self._has_given_up:
            return self._list_invalid(self._rejected)
        if self.result.value == SUCCEEDED:
            return State(TRUE, IMAGES_PRESENT, self.result.state_text)
        return self._true_by_gate() or State(FALSE, PULL_FAILED, self._missing())

    def interim_state(self) -> State | None:
        """What it says while images are pulled; None: what it has said before."""
        is_missing = self.result.missing.is_set()
        if self._gate is not None:
            by_gate = self._true_by_gate()
            if by_gate is not None:
                return by_gate if is_missing and (self._is_opened or self._has_given_up) else None
            is_missing = is_missing and self._gate.is_one_missing
        if not is_missing:
            return None
        if self._rejected is not None:
            return self._list_invalid(self._rejected)
        if self.result.is_warm:
            return State(FALSE, PULL_FAILED, self._missing())
        return State(FALSE, PULLING, f"pulling missing images; {images_text(self.result.images)} in the list")

    @property
    def _has_given_up(self) -> bool:
        return self._gate is not None and self._gate.state is GateState.GAVE_UP

    def _true_by_gate(self) -> State | None:
        """Whether the node takes pods although images are missing."""
        if self._has_given_up:
            return State(TRUE, GAVE_UP, bounded(f"gave up waiting: {self._missing()}", MESSAGE_LIMIT))
        if self._gate is not None and self._gate.is_satisfied:
            return State(TRUE, IMAGES_PRESENT, bounded(f"needed images present; {self._missing()}", MESSAGE_LIMIT))
        return None

    def _list_invalid(self, rejected: ListRejected) -> State:
        problem = bounded(rejected.problems[0], TEXT_LIMIT)
        more = f" (and {len(rejected.problems) - 1} more)" if rejected.problems[1:] else ""
        using = f"; using the last valid lists: {self._missing()}" if self.result.finished else ""
        return State(FALSE, LIST_INVALID, bounded(f"{problem}{more}{using}", MESSAGE_LIMIT))

    def _missing(self) -> str:
        """How many images are missing, and which one failed first."""
        result, failure = self.result, self.result.first_failure
        if self._gave_up is not None and self._gave_up.missing and result.finished is None:
            names = ", ".join(bounded(image, TEXT_LIMIT) for image in self._gave_up.missing)
            return bounded(f"{images_text(self._gave_up.missing_count)} missing: {names}", MESSAGE_LIMIT)
        if failure is not None:
            return bounded(f"{result.state_text}; first failure: {failure.image}: {failure.error}", MESSAGE_LIMIT)
        if result.finished is None and result.images:
            return f"pulling missing images; {images_text(result.images)} in the list"
        if result.finished is None and self._gave_up is not None and self._gave_up.error:
            return self._gave_up.error
        return result.state_text if result.finished else "the run ended before it pulled images"


def merged(known: Condition | None, kind: str, state: State, now: float, *, heartbeat: float) -> Condition | None:
    """Return the condition to write; None: it says so already.

    Args:
        known: as it is on the node.
        kind: its type.
        state: what it is to say.
        now: Unix seconds.
        heartbeat: seconds after which an equal one is written too; infinite: never.
    """
    at = format_timestamp(now)
    if known is None or known.status != state.status:
        since = at
    else:
        since = known.last_transition_time or at
        is_recent = heartbeat == math.inf or known.last_heartbeat_time > format_timestamp(now - heartbeat)
        if (known.reason, known.message) == (state.reason, state.message) and is_recent:
            return None
    return Condition(
        type=kind,
        status=state.status,
        reason=state.reason,
        message=state.message,
        last_heartbeat_time=at,
        last_transition_time=since,
    )
