"""The node's side of tickets: waits for one, renews it while the node pulls, and gives it back.

Without I/O of its own: it is given a function that asks the aggregator. Time is Trio's.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import trio

from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.tickets.messages import RENEW_INTERVAL, TicketReply, TicketRequest, TicketState
from nodeprefetch.tickets.spread import place

POLL = 25.0
"""Seconds that the aggregator may keep a request open before it answers that the node must wait."""

FIRST_POLL = 1.0
"""The same for the first request, so that a node soon knows how many are before it."""

ANSWER_LIMIT = 10.0
"""Seconds for an answer, in addition to those."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 8.0
"""Seconds before a failed request is repeated; jitter at most doubles them. While the node waits, the pause grows with
each failure: thousands may wait, and an aggregator that returns must not meet all of them at once."""

GIVE_BACK_LIMIT = 2.0
"""Seconds for giving a ticket back. One that is not given back is lost a minute later."""

_LATEST = 300.0
"""Seconds. Longest time between two requests, whatever an answer says."""

_EARLIER = 0.25
"""Largest part of `ask_again` by which nodes ask earlier, so that they do not all ask at the same time."""


class NoAnswerError(NodeprefetchError):
    """Raised when the aggregator gave no usable answer: it is away, or it refused."""


Ask = Callable[[TicketRequest], Awaitable[TicketReply]]
"""Asks the aggregator. Raises `NoAnswerError`; the caller limits the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartDelay:
    """Why a node does not pull yet."""

    reply: TicketReply | None = None
    """The aggregator's last answer; None: it does not answer, or is not asked."""

    starts_in: float = 0
    """Without an answer: seconds until the node starts without a ticket."""

    problem: str = ""
    """Why there is no answer."""


OnDelay = Callable[[StartDelay], None]


class Ticket:
    """The ticket of one run. Call `obtain` before the first pull, `keep` meanwhile, and `give_back` at the end.

    Args:
        ask: asks the aggregator.
        about: the node and its run, as in each request.
        patience: seconds without any answer after which the ticket is replaced by the spread.
        spread: seconds over which nodes without an answer start, each at its place.
        jitter: random numbers from 0 to 1.
        on_delay: called after each request while the node waits.
    """

    def __init__(
        self,
        ask: Ask,
        about: TicketRequest,
        *,
        patience: float,
        spread: float,
        jitter: Callable[[], float],
        on_delay: OnDelay = lambda _: None,
    ) -> None:
        self._send = ask
        self._about = about
        self._patience = patience + place(about.instance, about.node) * spread
        self._jitter = jitter
        self._on_delay = on_delay
        self._problem = ""
        self._renewed_at: float | None = None

    async def obtain(self) -> bool:
        """Wait until the node may pull.

        Silence is counted from the last answer. So when an aggregator disappears after an hour, the nodes that have
        waited so long still start one after another.

        Returns:
            Whether it has a ticket. If not, the aggregator was silent for `patience` and the node's place in `spread`.
        """
        with trio.CancelScope(deadline=trio.current_time() + self._patience) as asking:
            await self._ask_until_granted(asking)
            self._renewed_at = trio.current_time()
        return not asking.cancelled_caught

    async def keep(self) -> None:
        """Say that the node pulls, until cancelled: at once if the aggregator does not know, then regularly."""
        if self._renewed_at is not None:
            await trio.sleep_until(self._renewed_at + RENEW_INTERVAL)
        while True:
            reply = await self._ask(TicketState.PULLING)
            await trio.sleep(RENEW_INTERVAL if reply else self._pause(FIRST_PAUSE))

    async def give_back(self, *, is_warm: bool) -> bool:
        """Say that the node does not pull any more, or has nothing to pull. Not cancelled, but soon over.

        Args:
            is_warm: all images of the list are on the node.

        Returns:
            Whether the aggregator has answered.
        """
        with trio.move_on_after(GIVE_BACK_LIMIT, shield=True):
            while True:
                if await self._ask(TicketState.DONE, is_warm=is_warm):
                    return True
                await trio.sleep(self._pause(FIRST_PAUSE / 4))
        return False

    async def _ask_until_granted(self, asking: trio.CancelScope) -> None:
        pause, wait = FIRST_PAUSE, FIRST_POLL
        while True:
            asked_at = trio.current_time()
            reply = await self._ask(TicketState.WAITING, wait=wait)
            now = trio.current_time()
            if reply is None:
                self._on_delay(StartDelay(starts_in=asking.deadline - now, problem=self._problem))
                await trio.sleep(self._pause(pause))
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            if reply.granted:
                return
            pause, wait = FIRST_PAUSE, POLL
            again = min(reply.ask_again, _LATEST)
            asking.deadline = now + again + self._patience
            self._on_delay(StartDelay(reply=reply))
            await trio.sleep_until(max(now + again * (1 - _EARLIER * self._jitter()), asked_at + FIRST_PAUSE))

    async def _ask(self, state: TicketState, *, wait: float = 0, is_warm: bool = False) -> TicketReply | None:
        request = msgspec.structs.replace(self._about, state=state, wait=wait, is_warm=is_warm)
        limit = wait + ANSWER_LIMIT
        try:
            with trio.fail_after(limit):
                return await self._send(request)
        except NoAnswerError as error:
            self._problem = str(error)
        except trio.TooSlowError:
            self._problem = f"no answer in {limit:g}s"
        return None

    def _pause(self, shortest: float) -> float:
        return shortest * (1 + self._jitter())
