"""Keeps a node's gate during a run: gives it time and events, says when it opens, and remembers that."""

from collections.abc import Callable

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
    """

    def __init__(self, gate: Gate, record: GateRecord, *, emit: Reader) -> None:
        self._gate = gate
        self._record = record
        self._emit = emit
        self._errors: list[str | None] = []
        """Of those who open the node; empty: it is done, None: not yet."""

        self._moved = trio.Event()
        """Set when `wake_at` has changed."""

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

    @property
    def is_stuck(self) -> bool:
        """Whether the node still takes no pods although the gate is open."""
        return any(self._errors)

    def confirmation(self) -> Callable[[str], None]:
        """Register somebody who opens the node, before the run. The record says that it is open once all have done so.

        Returns:
            What is to be called with their error; empty: it is done.
        """
        place = len(self._errors)
        self._errors.append(None)

        def confirm(error: str) -> None:
            self._errors[place] = error
            if self._gate.is_satisfied and not any(each is None or each for each in self._errors):
                self._record.save(GateState.OPEN)

        return confirm

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
        if self._gate.state is GateState.GAVE_UP or not self._errors:
            self._record.save(self._gate.state)
        self._emit(opened)
