"""Keeps a node's gate during a run: gives it time and events, says when it opens, and remembers that."""

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Event
from nodeprefetch.report.gate import Gate, GateState
from nodeprefetch.report.gate_record import GateRecord


class Gatekeeper:
    """A `Reporter` that emits `GateOpened`. Must hear an event after the reporters that act on that.

    Args:
        gate: decides.
        record: knows the time, and remembers.
        emit: takes `GateOpened`.
        needs_confirmation: whether somebody must report that the node takes pods, by `confirm`, before the record says
            so.
    """

    def __init__(self, gate: Gate, record: GateRecord, *, emit: Reader, needs_confirmation: bool = False) -> None:
        self._gate = gate
        self._record = record
        self._emit = emit
        self._needs_confirmation = needs_confirmation
        self._moved = trio.Event()
        """Set when `wake_at` has changed."""

        self.is_stuck = False
        """Whether the node still takes no pods although the gate is open."""

    def emit(self, event: Event) -> None:
        """Take an event of the run."""
        before = self._gate.wake_at
        opened = self._gate.take(event, self._record.age)
        if opened is not None:
            self._tell(opened)
        if self._gate.wake_at != before:
            self._moved.set()

    def fail(self, error: str) -> None:
        """Give up if the time is over, as the run cannot begin because of an error."""
        opened = self._gate.fail(self._record.age, error)
        if opened is not None:
            self._tell(opened)

    def confirm(self, error: str) -> None:
        """The node takes pods now; or not, because of an error."""
        self.is_stuck = bool(error)
        if not error and self._gate.is_satisfied:
            self._record.save(GateState.OPEN)

    async def run(self) -> None:
        """Give up in mid-run when the time is over. Runs until cancelled."""
        while True:
            wake_at = self._gate.wake_at
            self._moved = trio.Event()
            with trio.move_on_after(max(wake_at - self._record.age, 0)) as waiting:
                await self._moved.wait()
            # What was slept is not always what the clock says, by the last bit.
            opened = self._gate.due(max(self._record.age, wake_at)) if waiting.cancelled_caught else None
            if opened is not None:
                self._tell(opened)

    async def finish(self) -> None:
        """Do nothing: everything was said when the run ended."""

    def _tell(self, opened: Event) -> None:
        if self._gate.state is GateState.GAVE_UP or not self._needs_confirmation:
            self._record.save(self._gate.state)
        self._emit(opened)
