"""Fair shares of a limited resource: one remote address can never take everything."""


class FairShare:
    """Divides a limit among remote addresses: each may hold as much as it leaves free.

    One address alone can hold half, two a third each, and so on; an address that holds nothing finds room until all is
    used. This is the dynamic threshold rule by which switches share their memory among queues
    (https://doi.org/10.1109/90.664262).

    Args:
        limit: for all addresses together.
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
        """Take `size` more if the address may, and return whether it does.

        An empty address belongs to nobody; only the limit applies to it.
        """
        held = self.held_by(address) if address else 0
        if held + size > self._limit - self.used:
            return False
        self.add(address, size)
        return True

    def add(self, address: str, size: int = 1) -> None:
        """Take `size` more without a check: the caller knows that it fits."""
        self.used += size
        if size:
            self._held[address] = self.held_by(address) + size

    def release(self, address: str, size: int = 1) -> None:
        """Return `size` of what the address holds."""
        self.used -= size
        left = self.held_by(address) - size
        if left:
            self._held[address] = left
        else:
            self._held.pop(address, None)
