"""Looks at a cluster once, in limited time, and tells errors of the cluster from defects: for loops that go on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import trio

from nodeprefetch.errors import NoAccessError, NodeprefetchError, UsageError, leaves
from nodeprefetch.kube import KubeError, NotFoundError, PassingKubeError

INTERVAL = 2.0
"""Seconds between looks; longer if a look takes longer, so that no API server is asked all the time."""

LOOK_LIMIT = 30.0
"""Seconds after which a look is given up."""

Looked = TypeVar("Looked")


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A look that failed because of the cluster."""

    text: str
    """One line without secrets."""

    error: Exception
    is_passing: bool = False
    """Looking again may help."""

    is_absent: bool = False
    """There is no such installation."""


async def look_at(look: Callable[[], Awaitable[Looked]]) -> Looked | Failed:
    """Look once, for at most `LOOK_LIMIT`. Raises only what is a defect."""
    try:
        with trio.fail_after(LOOK_LIMIT):
            return await look()
    except trio.TooSlowError as error:
        return Failed(text=f"no answer in {LOOK_LIMIT:g}s", error=error, is_passing=True)
    except (NodeprefetchError, ExceptionGroup) as error:
        errors = list(leaves(error))
        if not all(isinstance(each, KubeError | NoAccessError | UsageError) for each in errors):
            raise
        return Failed(
            text="; ".join(dict.fromkeys(map(str, errors))).replace("\n", "; "),
            error=error,
            is_passing=all(isinstance(each, PassingKubeError) for each in errors),
            is_absent=any(isinstance(each, NotFoundError | UsageError) for each in errors),
        )


async def rest(began: float) -> None:
    """Wait before the next look.

    Args:
        began: when the last one began, by Trio's clock.
    """
    await trio.sleep(max(INTERVAL, trio.current_time() - began))
