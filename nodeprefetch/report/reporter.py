"""What a reader of events is that delivers them somewhere else, and may need time for it."""

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
