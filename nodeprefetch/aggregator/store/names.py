"""Names as numbers: each node, image and instance is kept once, and there is a bound on how many."""

import sqlite3

from nodeprefetch.aggregator.refusal import RefusedError

_FRESH = 60
"""Seconds for which nobody writes down again that a name was heard."""


class Names:
    """The names in one table.

    Args:
        database: where the table is.
        table: `node`, `image` or `instance`.
        bound: how many there may be.
        longest: bytes of a name.
        retry_after: seconds a client is asked to wait when there are that many.
    """

    def __init__(self, database: sqlite3.Connection, table: str, bound: int, longest: int, retry_after: int) -> None:
        self._database = database
        self._table = table
        self._bound = bound
        self._longest = longest
        self._retry_after = retry_after
        self._known: dict[str, tuple[int, int]] = {}
        self._before: dict[str, tuple[int, int] | None] = {}
        """What this submission has changed, as it was."""

        self.reload()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, name: str) -> int | None:
        """The number of a name that is known."""
        known = self._known.get(name)
        return None if known is None else known[0]

    def by_number(self) -> dict[int, str]:
        """All names by their numbers."""
        return {number: name for name, (number, _) in self._known.items()}

    def reload(self) -> None:
        """Read them again: after a transaction that did not come to its end."""
        rows = self._database.execute(f"SELECT name, id, heard FROM {self._table}")  # noqa: S608 - one of three
        self._known = {name: (number, heard) for name, number, heard in rows}

    def begin(self) -> None:
        """Another submission begins."""
        self._before.clear()

    def undo(self) -> None:
        """Take back what this submission has changed; its savepoint does the same in the database."""
        for name, known in self._before.items():
            if known is None:
                del self._known[name]
            else:
                self._known[name] = known
        self._before.clear()

    def number(self, name: str, now: int) -> int:
        """The number of a name, a new one if need be. Inside a transaction.

        Raises:
            RefusedError: there are too many, or it is too long.
        """
        known = self._known.get(name)
        if known is not None:
            number, heard = known
            if now - heard > _FRESH:
                self._database.execute(f"UPDATE {self._table} SET heard = ? WHERE id = ?", (now, number))  # noqa: S608
                self._before.setdefault(name, known)
                self._known[name] = (number, now)
            return number
        if len(name.encode()) > self._longest:
            raise RefusedError(
                400, "name_too_long", f"the name of the {self._table} is longer than {self._longest} bytes in UTF-8"
            )
        if len(self._known) >= self._bound:
            raise RefusedError(
                429,
                f"too_many_{self._table}s",
                f"{self._bound} {self._table}s are known already",
                retry_after=self._retry_after,
            )
        found = self._database.execute(f"INSERT INTO {self._table} (name, heard) VALUES (?, ?)", (name, now))  # noqa: S608
        number = found.lastrowid or 0
        self._before.setdefault(name, None)
        self._known[name] = (number, now)
        return number

    def has_older(self, before: int) -> bool:
        """Whether there are names not heard since that Unix second."""
        return any(heard < before for _, heard in self._known.values())

    def forget(self, before: int) -> list[tuple[int]]:
        """Forget those not heard since that Unix second. Inside a transaction. Returns their numbers."""
        old = [(number,) for number, heard in self._known.values() if heard < before]
        self._database.executemany(f"DELETE FROM {self._table} WHERE id = ?", old)  # noqa: S608
        self._known = {name: known for name, known in self._known.items() if known[1] >= before}
        return old
