"""Numbers for the names of nodes, images and instances, and for runs; each is stored once, and bounded in number."""

import sqlite3
from collections.abc import Iterator

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.batch import Batch
from nodeprefetch.events import RunFinished, RunStarted

_REMEMBERED = 10_000


class Runs:
    """The runs in the database.

    The ID, node and instance together identify a run, so a node cannot report for the run of another node.

    Args:
        database: with the table `run`.
        bounds: the maximum number.
    """

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self._database = database
        self._bounds = bounds
        self._numbers: dict[tuple[str, int, int], int] = {}
        self._new: tuple[str, int, int] | None = None
        """The run that the current submission has added."""

        self._heard_before: dict[int, int | None] = {}
        """Previous values of what the current submission has changed."""

        self.count = 0
        """Number of runs."""

        self.heard: dict[int, int] = {}
        """Unix seconds of the last event of any run, by instance number."""

        self.reload()

    def reload(self) -> None:
        """Read everything again from the database, after a failed transaction."""
        self._numbers.clear()
        (self.count,) = self._database.execute("SELECT count(*) FROM run").fetchone()
        self.heard = dict(self._database.execute("SELECT instance, max(heard) FROM run GROUP BY instance").fetchall())

    def begin(self) -> None:
        """Begin a submission."""
        self._new = None
        self._heard_before.clear()

    def undo(self) -> None:
        """Undo the changes of the current submission in memory; its savepoint does so in the database."""
        if self._new is not None:
            del self._numbers[self._new]
            self.count -= 1
            self._new = None
        for instance, heard in self._heard_before.items():
            if heard is None:
                del self.heard[instance]
            else:
                self.heard[instance] = heard
        self._heard_before.clear()

    def number(self, batch: Batch, instance: int, node: int, now: int) -> int:
        """Return the number of a batch's run, adding the run if it is new. Inside a transaction.

        Raises:
            RefusedError: too many runs.
        """
        number = self._number((batch.run_id, node, instance), batch.version, now)
        self._heard_before.setdefault(instance, self.heard.get(instance))
        self.heard[instance] = now
        return number

    def forget(self, before: int) -> None:
        """Remove instances without an event since that Unix second."""
        self.heard = {instance: heard for instance, heard in self.heard.items() if heard >= before}

    def _number(self, key: tuple[str, int, int], version: str, now: int) -> int:
        number = self._numbers.get(key)
        if number is not None:
            updated = self._database.execute("UPDATE run SET heard = ? WHERE id = ?", (now, number))
            if updated.rowcount:
                return number
        found = self._database.execute(
            "UPDATE run SET heard = ? WHERE run_id = ? AND node = ? AND instance = ? RETURNING id", (now, *key)
        ).fetchone()
        number = int(found[0]) if found else self._begin(key, version, now)
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        self._numbers[key] = number
        return number

    def _begin(self, key: tuple[str, int, int], version: str, now: int) -> int:
        if self.count >= self._bounds.runs:
            raise RefusedError(
                429,
                "too_many_runs",
                f"cannot store more than {self._bounds.runs} runs",
                retry_after=self._bounds.retry_after,
            )
        found = self._database.execute(
            "INSERT INTO run (run_id, node, instance, version, heard) VALUES (?, ?, ?, ?, ?)", (*key, version, now)
        )
        self._new = key
        self.count += 1
        return found.lastrowid or 0

    def started(self, run: int, event: RunStarted) -> bool:
        """Record the start of a run. Returns whether it is new."""
        changed = self._database.execute(
            "UPDATE run SET started_at = ?, runtime = ?, list_digest = ? WHERE id = ? AND started_at IS NULL",
            (event.at, event.runtime, event.list_digest, run),
        )
        return changed.rowcount > 0

    def finished(self, run: int, event: RunFinished) -> bool:
        """Record the end of a run. Returns whether it is new."""
        changed = self._database.execute(
            "UPDATE run SET ended_at = ?, ended = ? WHERE id = ? AND ended_at IS NULL",
            (event.at, str(event.end), run),
        )
        return changed.rowcount > 0


_FRESH = 60
"""Seconds before the time of a name's last event is written again."""


class Names:
    """The names in one table.

    Args:
        database: where the table is.
        table: `node`, `image` or `instance`.
        bound: the maximum number of names.
        longest: bytes of the longest name.
        retry_after: seconds a client should wait when the maximum is reached.
    """

    def __init__(self, database: sqlite3.Connection, table: str, bound: int, longest: int, retry_after: int) -> None:
        self._database = database
        self._table = table
        self._bound = bound
        self._longest = longest
        self._retry_after = retry_after
        self._known: dict[str, tuple[int, int]] = {}
        self._before: dict[str, tuple[int, int] | None] = {}
        """Previous values of what the current submission has changed."""

        self.reload()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, name: str) -> int | None:
        """Return the number of a known name, or None."""
        known = self._known.get(name)
        return None if known is None else known[0]

    def by_number(self) -> dict[int, str]:
        """Return all names by number."""
        return {number: name for name, (number, _) in self._known.items()}

    def heard(self) -> Iterator[tuple[str, int, int]]:
        """Yield names, their numbers, and Unix seconds of their last events, which may be a minute old."""
        for name, (number, heard) in self._known.items():
            yield name, number, heard

    def reload(self) -> None:
        """Read everything again from the database, after a failed transaction."""
        rows = self._database.execute(f"SELECT name, id, heard FROM {self._table}")  # noqa: S608 - one of three constants
        self._known = {name: (number, heard) for name, number, heard in rows}

    def begin(self) -> None:
        """Begin a submission."""
        self._before.clear()

    def undo(self) -> None:
        """Undo the changes of the current submission in memory; its savepoint does so in the database."""
        for name, known in self._before.items():
            if known is None:
                del self._known[name]
            else:
                self._known[name] = known
        self._before.clear()

    def number(self, name: str, now: int) -> int:
        """Return the number of a name, adding the name if it is new. Inside a transaction.

        Raises:
            RefusedError: too many names, or the name is too long.
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
                400, "name_too_long", f"{self._table} name must not be longer than {self._longest} bytes in UTF-8"
            )
        if len(self._known) >= self._bound:
            raise RefusedError(
                429,
                f"too_many_{self._table}s",
                f"cannot store more than {self._bound} {self._table}s",
                retry_after=self._retry_after,
            )
        found = self._database.execute(f"INSERT INTO {self._table} (name, heard) VALUES (?, ?)", (name, now))  # noqa: S608
        number = found.lastrowid or 0
        self._before.setdefault(name, None)
        self._known[name] = (number, now)
        return number

    def has_older(self, before: int) -> bool:
        """Whether there are names without an event since that Unix second."""
        return any(heard < before for _, heard in self._known.values())

    def forget(self, before: int) -> list[tuple[int]]:
        """Delete names without an event since that Unix second. Inside a transaction. Returns their numbers."""
        old = [(number,) for number, heard in self._known.values() if heard < before]
        self._database.executemany(f"DELETE FROM {self._table} WHERE id = ?", old)  # noqa: S608
        self._known = {name: known for name, known in self._known.items() if known[1] >= before}
        return old
