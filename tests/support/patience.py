"""Waits until other threads have done something; gives up before a test hangs for ever."""

import http.client
import time
from collections.abc import Callable
from contextlib import suppress

PATIENCE = 300.0
"""Seconds after which what a test waits for is not going to happen, also on a busy machine. A guard, never a fact."""

_PAUSE = 0.05
"""Seconds between two looks."""


def eventually(is_so: Callable[[], object]) -> bool:
    """Whether something becomes true that tells nobody when it does. What asks may fail meanwhile."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            if is_so():
                return True
        time.sleep(_PAUSE)
    return False
