"""Where pulls wait while the runtime is away: one asks for all of them."""

import trio

from nodeprefetch.events import Reader, RuntimeLost, RuntimeReturned
from nodeprefetch.runtime.api import ImageService
from nodeprefetch.runtime.errors import RuntimeFaultError, answered_within

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
ANSWER_LIMIT = 5.0
"""Seconds for one Version call: a runtime slower than that is not back yet."""


class RuntimeGate:
    """Open while the runtime answers.

    Args:
        service: the runtime.
        emit: who hears that it went away and came back.
    """

    def __init__(self, service: ImageService, emit: Reader) -> None:
        self._service = service
        self._emit = emit
        self._asking = trio.Lock()

    async def wait(self) -> None:
        """Return once the runtime answers Version. Asks for as long as it takes: the caller's scope is the limit."""
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
        """None when the runtime answered, else what is wrong."""
        try:
            with answered_within(ANSWER_LIMIT):
                await self._service.version()
        except RuntimeFaultError as error:
            return str(error)
        return None
