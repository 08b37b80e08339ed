"""Shares of what there is only so much of: one remote address can never take everything."""


class Shares:
    """Divides a limit among remote addresses: each may hold as much as it leaves free.

    One address alone can hold half, two a third each, and so on; whoever holds nothing finds room until all is used.
    It is the rule of dynamic thresholds by which switches share their memory among queues
    (https://doi.org/10.1109/90.664262).

    Args:
        limit: of everything together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}
        self.used = 0

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self._limit

    def held_by(self, address: str) -> int:
        """How much an address holds."""
        return self._held.get(address, 0)

    def take(self, address: str, size: int = 1) -> bool:
        """Take so much more, if the address may. An empty address is nobody's, and bounded by the limit alone."""
        held = self.held_by(address) if address else 0
        if held + size > self._limit - self.used:
            return False
        self.add(address, size)
        return True

    def add(self, address: str, size: int = 1) -> None:
        """Take it in any case: the caller knows that it fits."""
        self.used += size
        if size:
            self._held[address] = self.held_by(address) + size

    def give_back(self, address: str, size: int = 1) -> None:
        """Hold so much less."""
        self.used -= size
        left = self.held_by(address) - size
        if left:
            self._held[address] = left
        else:
            self._held.pop(address, None)
