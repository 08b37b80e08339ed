"""Connection slots: limits open connections, and closes idle ones to make room for new ones."""

from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import chain, islice
from typing import Self

from nodeprefetch.aggregator.fair_share import FairShare

_CANDIDATES = 20
"""Connections that are tried when one must close."""


class ConnectionSlot:
    """The slot of one connection. It begins idle."""

    def __init__(self, slots: "ConnectionSlots", address: str, close: Callable[[], bool]) -> None:
        self._slots = slots
        self.address = address
        self.close = close
        """Closes the connection to free its slot. Returns whether it does: a request may have just arrived."""

    def mark_idle(self) -> None:
        """Allow closing the connection to make room for another one."""
        self._slots.mark_idle(self)

    def mark_busy(self) -> None:
        """Keep the connection until it is idle again."""
        self._slots.mark_busy(self)

    def release(self) -> None:
        """Free the slot: the connection has ended. May be called twice."""
        self._slots.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class ConnectionSlots:
    """A limited number of slots, divided among remote addresses by `FairShare`.

    If none is free, the connection that has been idle longest closes. It belongs to the address that holds the most if
    all slots are taken, or to the same address if that has reached its share. An address never displaces one that
    holds less.

    Args:
        limit: number of slots.
    """

    def __init__(self, limit: int) -> None:
        self._shares = FairShare(limit)
        self._taken: set[ConnectionSlot] = set()
        self._idle: dict[str, dict[ConnectionSlot, None]] = {}
        """By address, longest idle first; addresses too are in that order."""

        self.closed = 0
        """Number of connections closed to make room."""

    def acquire(self, address: str, close: Callable[[], bool]) -> ConnectionSlot | None:
        """Return a slot for a new connection, or None if no other one can close.

        Args:
            address: the remote address.
            close: see `ConnectionSlot.close`.
        """
        if not self._shares.take(address):
            closed = next((slot for slot in self._candidates(address) if slot.close()), None)
            if closed is None:
                return None
            self.closed += 1
            closed.release()
            self._shares.add(address)
        slot = ConnectionSlot(self, address, close)
        self._taken.add(slot)
        self.mark_idle(slot)
        return slot

    def _candidates(self, address: str) -> Sequence[ConnectionSlot]:
        """Connections that could close, best first; not all of them, because trying takes time."""
        holders = {address: None}
        if self._shares.is_used_up:
            largest = nlargest(_CANDIDATES, self._idle, key=self._shares.held_by)  # stable: longest idle first
            holders = dict.fromkeys(
                each for each in largest if self._shares.held_by(each) > self._shares.held_by(address)
            )
            holders[address] = None
        slots = chain.from_iterable(self._idle.get(holder, ()) for holder in holders)
        return list(islice(slots, _CANDIDATES))

    def mark_idle(self, slot: ConnectionSlot) -> None:
        """See `ConnectionSlot.mark_idle`."""
        if slot in self._taken:
            self._idle.setdefault(slot.address, {})[slot] = None

    def mark_busy(self, slot: ConnectionSlot) -> None:
        """See `ConnectionSlot.mark_busy`."""
        idle = self._idle.get(slot.address, {})
        idle.pop(slot, None)
        if not idle:
            self._idle.pop(slot.address, None)

    def release(self, slot: ConnectionSlot) -> None:
        """See `ConnectionSlot.release`."""
        if slot in self._taken:
            self._taken.remove(slot)
            self.mark_busy(slot)
            self._shares.release(slot.address)
