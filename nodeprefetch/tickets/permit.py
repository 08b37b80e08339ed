"""What the first pull of a run waits for: a ticket, or this node's place in the spread."""

import random
from collections.abc import Awaitable, Callable

import msgspec
import trio

from nodeprefetch.tickets.client import Ask, OnDelay, StartDelay, Ticket
from nodeprefetch.tickets.messages import TicketRequest
from nodeprefetch.tickets.spread import place

Find = Callable[[], Awaitable[float]]
"""Finds out a number of seconds. Soon over; raises nothing."""


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about a node's place in the order."""

    zone: str = ""
    """Empty: not known."""

    is_gated: bool = False
    """Whether it takes no pods until its images are there."""


class TicketPermit:
    """A ticket or, if the aggregator is silent, this node's place in the spread.

    Args:
        ask: asks the aggregator.
        about: the node, its instance and list.
        find_node: finds out what the request says about the node, soon.
        patience: seconds without an answer after which the spread counts.
        spread: finds out over how many seconds nodes without an answer start.
        on_delay: called while the node waits.
        jitter: random numbers from 0 to 1.
    """

    def __init__(
        self,
        ask: Ask,
        about: TicketRequest,
        *,
        find_node: Callable[[], Awaitable[NodeFacts]],
        patience: float,
        spread: Find,
        on_delay: OnDelay,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._ask = ask
        self._about = about
        self._find_node = find_node
        self._patience = patience
        self._spread = spread
        self._on_delay = on_delay
        self._jitter = jitter
        self._ticket: Ticket | None = None

    async def obtain(self, run_id: str, /) -> bool:
        """Wait for the ticket, or for the node's place. Returns whether it has a ticket."""
        self._ticket = self._describe(run_id, await self._find_node(), spread=await self._spread())
        return await self._ticket.obtain()

    async def keep(self) -> None:
        """Renew it until cancelled."""
        assert self._ticket is not None  # noqa: S101 - called after obtain
        await self._ticket.keep()

    async def give_back(self, run_id: str, /, *, is_warm: bool) -> None:
        """Say that the node does not pull any more, or has nothing to pull."""
        ticket = self._ticket or self._describe(run_id, NodeFacts(), spread=0)  # not worth a call of the API server
        await ticket.give_back(is_warm=is_warm)

    def _describe(self, run_id: str, node: NodeFacts, *, spread: float) -> Ticket:
        return Ticket(
            self._ask,
            msgspec.structs.replace(self._about, run_id=run_id, zone=node.zone, is_gated=node.is_gated),
            patience=self._patience,
            spread=spread,
            jitter=self._jitter,
            on_delay=self._on_delay,
        )


class SpreadPermit:
    """This node's place in a time, without any coordination.

    Args:
        node: name of the node.
        instance: name of the installation.
        spread: finds out over how many seconds nodes start.
        on_delay: called once, before the wait.
    """

    def __init__(self, node: str, instance: str, *, spread: Find, on_delay: OnDelay) -> None:
        self._place = place(instance, node)
        self._spread = spread
        self._on_delay = on_delay

    async def obtain(self, _run_id: str, /) -> bool:
        """Wait for the node's place. Returns that it has no ticket."""
        began = trio.current_time()
        delay = self._place * await self._spread()
        if delay:
            self._on_delay(StartDelay(starts_in=delay))
        await trio.sleep_until(began + delay)
        return False

    async def keep(self) -> None:
        """Return: there is nothing to renew."""

    async def give_back(self, _run_id: str, /, *, is_warm: bool) -> None:
        """Do nothing."""
