"""Looks at an installation again and again, until it is as warm as was asked for, cannot become so, or time is up."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum

import msgspec
import trio

from nodeprefetch.cluster.goal import Goal, Impossible, Pending, Verdict, check_images, verdict
from nodeprefetch.cluster.looking import LOOK_LIMIT, Failed, look_at, rest
from nodeprefetch.cluster.picture import Picture

GRACE = 30.0
"""Seconds for which an installation that was seen may be absent or forbidden: API servers restart, people recreate."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen."""

    picture: Picture
    verdict: Verdict
    elapsed: float
    """Seconds since the beginning."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing could be seen; it is tried again."""

    text: str
    """One line without secrets."""

    elapsed: float


Watch = Callable[[Look | Trouble], None]
"""Is told everything. Must not block."""


OpenLook = Callable[[], AbstractAsyncContextManager[Callable[[], Awaitable[Picture]]]]
"""Opens connections, and returns what looks at the installation over them."""


class End(StrEnum):
    """How waiting ended."""

    REACHED = "reached"
    IMPOSSIBLE = "impossible"
    TIMEOUT = "timeout"
    GONE = "gone"
    """The installation was deleted."""


async def wait_for(open_look: OpenLook, goal: Goal, *, limit: float, watch: Watch) -> End:
    """Wait until the goal is reached, cannot be reached any more, or the time is up.

    Args:
        open_look: finds the cluster.
        goal: what is waited for.
        limit: seconds until it gives up; 0: look once.
        watch: is told what is seen.

    Raises:
        NoAccessError: a permission is missing. Of an installation that was seen before: for `GRACE` seconds.
        KubeError: at the first look: retrying cannot help.
        UsageError: there is no such installation, or its list does not have the images asked for.
    """
    waiting = _Waiting(goal, watch, is_once=limit == 0)
    with trio.move_on_after(limit or 2 * LOOK_LIMIT):
        async with open_look() as look:
            while True:
                began = trio.current_time()
                end = await waiting.look(look)
                if end is not None:
                    return end
                await rest(began)
    return End.TIMEOUT


class _Waiting:
    """What is remembered from look to look."""

    def __init__(self, goal: Goal, watch: Watch, *, is_once: bool) -> None:
        self._goal = goal
        self._watch = watch
        self._is_once = is_once
        self._began = trio.current_time()
        self._seen_at: float | None = None
        """Time of the last picture."""

        self._is_checked = False
        """The list had the images asked for, once."""

    async def look(self, look: Callable[[], Awaitable[Picture]]) -> End | None:
        """Look once. Returns None if waiting goes on."""
        seen = await look_at(look)
        return self._failed(seen) if isinstance(seen, Failed) else self._judge(seen)

    def _failed(self, failed: Failed) -> End | None:
        """Decide whether to go on. Raises the error if that makes no sense."""
        may_pass = self._seen_at is not None and trio.current_time() - self._seen_at < GRACE
        if may_pass or failed.is_passing:
            self._watch(Trouble(text=failed.text, elapsed=trio.current_time() - self._began))
            return End.TIMEOUT if self._is_once else None
        if self._seen_at is not None and failed.is_absent:
            return End.GONE
        raise failed.error

    def _judge(self, picture: Picture) -> End | None:
        if not self._is_checked:
            check_images(picture, self._goal)
            self._is_checked = picture.list_images is not None
        self._seen_at = trio.current_time()
        answer = verdict(picture, self._goal)
        self._watch(Look(picture=picture, verdict=answer, elapsed=self._seen_at - self._began))
        if isinstance(answer, Pending):
            return End.TIMEOUT if self._is_once else None
        return End.IMPOSSIBLE if isinstance(answer, Impossible) else End.REACHED
