"""Looks at what containerd does, again and again while there are pulls to hold back."""

from collections.abc import Awaitable, Callable

import trio

from nodeprefetch.pull.pauses import Pauses
from nodeprefetch.runtime.errors import FaultClass, RuntimeFaultError, RuntimeTimeoutError, answered_within

LOOK_TIMEOUT = 5.0
"""Seconds in which containerd must answer all calls of one look."""

_FAILURES = 5
"""Looks that may fail in a row before nobody looks any more."""


async def keep_looking(
    look: Callable[[], Awaitable[None]],
    pauses: Pauses,
    *,
    interval: float,
    on_missed: Callable[[], None] = lambda: None,
) -> str:
    """Look while there are pulls, in progress or at the gate; until cancelled, or until that fails for good.

    Args:
        look: one look. It may raise `RuntimeFaultError`: if containerd is away, the next look may succeed.
        pauses: the pulls of the run.
        interval: seconds between the beginnings of two looks.
        on_missed: called after a look that failed.

    Returns:
        Why nobody looks any more.
    """
    failures = 0
    while True:
        await pauses.wait_for_pulls()
        began = trio.current_time()
        try:
            with answered_within(LOOK_TIMEOUT):
                await look()
            failures = 0
        except RuntimeFaultError as error:
            is_away = isinstance(error, RuntimeTimeoutError) or error.fault.kind is FaultClass.RUNTIME_GONE
            failures = failures + 1 if is_away else _FAILURES
            on_missed()
            if failures >= _FAILURES:
                return str(error)
        await trio.sleep_until(max(began + interval, trio.current_time()))
