"""Waits for other threads, and gives up before a test hangs for ever."""

import threading
from collections.abc import Callable

_PATIENCE = 300.0
"""Seconds after which what a test waits for is not going to happen."""


def wait_until(changed: threading.Condition, is_so: Callable[[], bool], seen: Callable[[], object]) -> None:
    """Block this thread; under Trio, give it to `trio.to_thread.run_sync`.

    Args:
        changed: notified on every change.
        is_so: asked while the condition is held.
        seen: what to show in the error.

    Raises:
        TimeoutError: it did not happen within five minutes.
    """
    with changed:
        if not changed.wait_for(is_so, _PATIENCE):
            raise TimeoutError(f"What was waited for did not come, but: {seen()!r}")
