"""Places of connections: who gets one, and who must leave for that."""

from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import chain, islice
from typing import Self

from nodeprefetch.aggregator.shares import Shares

_ASKED = 20
"""Connections that are asked to leave for another one."""


class Place:
    """One connection's place. It begins idle."""

    def __init__(self, places: "Places", address: str, leave: Callable[[], bool]) -> None:
        self._places = places
        self.address = address
        self.leave = leave
        """Ends the connection, whose place is needed. Returns whether it does: a request may just have come."""

    def become_idle(self) -> None:
        """From now on nothing is under way here, and another connection may have the place."""
        self._places.note_idle(self)

    def become_busy(self) -> None:
        """The place is not taken away until it is idle again."""
        self._places.note_busy(self)

    def give_back(self) -> None:
        """The connection has ended. Doing it twice is fine."""
        self._places.give_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()


class Places:
    """A limited number of places, shared by remote addresses as `Shares` says.

    Where there is none, the connection that has been idle longest leaves: of the address that holds the most when all
    places are taken, of the same address when that has its share. An address never drives out one that holds less.

    Args:
        limit: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self._shares = Shares(limit)
        self._taken: set[Place] = set()
        self._idle: dict[str, dict[Place, None]] = {}
        """By address; whoever became idle first is first, also among addresses with one place each."""

        self.closed = 0
        """How many had to leave."""

    def enter(self, address: str, leave: Callable[[], bool]) -> Place | None:
        """A place for one more connection; None when nobody can leave for it.

        Args:
            address: the remote one.
            leave: see `Place.leave`.
        """
        if not self._shares.take(address):
            leaver = next((place for place in self._candidates(address) if place.leave()), None)
            if leaver is None:
                return None
            self.closed += 1
            leaver.give_back()
            self._shares.add(address)
        place = Place(self, address, leave)
        self._taken.add(place)
        self.note_idle(place)
        return place

    def _candidates(self, address: str) -> Sequence[Place]:
        """Who could leave, best first; not all of them, as asking takes time."""
        holders = {address: None}
        if self._shares.is_used_up:
            richest = nlargest(_ASKED, self._idle, key=self._shares.held_by)  # stable: idle longest first
            holders = dict.fromkeys(
                each for each in richest if self._shares.held_by(each) > self._shares.held_by(address)
            )
            holders[address] = None
        places = chain.from_iterable(self._idle.get(holder, ()) for holder in holders)
        return list(islice(places, _ASKED))

    def note_idle(self, place: Place) -> None:
        """See `Place.become_idle`."""
        if place in self._taken:
            self._idle.setdefault(place.address, {})[place] = None

    def note_busy(self, place: Place) -> None:
        """See `Place.become_busy`."""
        idle = self._idle.get(place.address, {})
        idle.pop(place, None)
        if not idle:
            self._idle.pop(place.address, None)

    def give_back(self, place: Place) -> None:
        """See `Place.give_back`."""
        if place in self._taken:
            self._taken.remove(place)
            self.note_busy(place)
            self._shares.give_back(place.address)
