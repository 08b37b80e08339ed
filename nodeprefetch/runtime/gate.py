"""Pauses pulls while the runtime is unavailable; one of them polls it for all."""

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import RuntimeLost, RuntimeReturned
from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
ANSWER_LIMIT = 5.0
"""Seconds for one Version call: a slower runtime counts as unavailable."""


class RuntimeGate:
    """Open while the runtime is available.

    Args:
        service: the runtime.
        emit: receives `RuntimeLost` and `RuntimeReturned`.
    """

    def __init__(self, service: ImageService, emit: Reader) -> None:
        self._service = service
        self._emit = emit
        self._asking = trio.Lock()

    async def wait(self) -> None:
        """Return once the runtime answers Version. Polls without end; the caller limits the time."""
        async with self._asking:
            error = await self._ask()
            if error is None:
                return
            lost_at = trio.current_time()
            self._emit(RuntimeLost(error=error))
            pause = FIRST_PAUSE
            while error is not None:
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                error = await self._ask()
            self._emit(RuntimeReturned(after=trio.current_time() - lost_at))

    async def _ask(self) -> str | None:
        """Call Version. Returns the error, or None."""
        try:
            with answered_within(ANSWER_LIMIT):
                await self._service.version()
        except RuntimeFaultError as error:
            return str(error)
        return None
