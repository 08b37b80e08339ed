"""What a reader of events is that delivers them somewhere else, and may need time for it."""

from collections.abc import Callable
from typing import Protocol

from nodeprefetch.events import Event


class Reporter(Protocol):
    """Delivers a run's events. One that cannot changes nothing: not a pull, not the exit code, not another reporter."""

    def tell(self, event: Event) -> None:
        """Take an event. Must not wait and must not raise."""
        ...

    async def run(self) -> None:
        """Deliver in the background until cancelled. Must not raise anything of its own."""
        ...

    async def finish(self) -> None:
        """Deliver what is left, after the last event; returns when that is done. The caller limits the time."""
        ...


class IsolatedReporter:
    """A reporter whose defects stay its own: what it raises is logged once, and it is not used any more.

    Args:
        reporter: does the work.
        complain: hears that it failed.
    """

    def __init__(self, reporter: Reporter, complain: Callable[[str], None]) -> None:
        self._reporter = reporter
        self._complain = complain
        self._has_failed = False

    def tell(self, event: Event) -> None:
        """Take an event."""
        if self._has_failed:
            return
        try:
            self._reporter.tell(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, pulls and other reporters go on
            self._fail(error)

    async def run(self) -> None:
        """Deliver in the background until cancelled."""
        try:
            await self._reporter.run()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    async def finish(self) -> None:
        """Deliver what is left."""
        if self._has_failed:
            return
        try:
            await self._reporter.finish()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._has_failed = True
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        # Its text may hold anything.
        self._complain(f"{type(self._reporter).__name__} failed and is disabled for this run: {type(error).__name__}")
