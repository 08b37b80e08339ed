"""The one writer of the database: many submissions in one transaction, each of them wholly or not at all."""

import secrets
import sqlite3
from collections.abc import Sequence

from nodeprefetch.aggregator.recording import Receipt, Records, Submission
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.errors import NodeprefetchError


class StoreError(NodeprefetchError):
    """The database could not be written or read: a full disk, a broken one. Nothing of the transaction is kept."""


class Store:
    """What was submitted.

    It is used from one thread alone, that of Trio: a transaction of thousands of results takes milliseconds, and a
    second thread would wait for the interpreter's lock between any two of them.

    Args:
        database: as `open_database` gives it.
        bounds: how much may be in it.
    """

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self.database = database
        self.records = Records(database, bounds)
        self.version = 0
        """Another number after every change."""

        self.is_healthy = True
        """Whether the latest transaction was written."""

        self._opened = secrets.token_hex(4)

    @property
    def tag(self) -> str:
        """Another text for every state of the database, also over restarts: what an ETag is made of."""
        return f"{self._opened}-{self.version}"

    def write(self, submissions: Sequence[Submission], now: int) -> list[Receipt | RefusedError]:
        """Store them, in one transaction. Once this returns they are stored.

        Args:
            submissions: in the order of arrival.
            now: Unix seconds.

        Returns:
            one answer for each: a submission beyond a bound is refused and leaves nothing behind.

        Raises:
            StoreError: nothing is stored.
        """
        try:
            self.database.execute("BEGIN IMMEDIATE")
            answers = [self._write(submission, now) for submission in submissions]
            self.records.tallies.write()
            self.database.execute("COMMIT")
        except sqlite3.Error as error:
            self.is_healthy = False
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            self.records.reload()
            self.records.count()
            raise StoreError(f"the results could not be stored: {error}") from error
        self.is_healthy = True
        self.version += 1
        return answers

    def _write(self, submission: Submission, now: int) -> Receipt | RefusedError:
        self.records.tallies.write()  # so that a refused one takes back no others'
        self.database.execute("SAVEPOINT submission")
        try:
            return self.records.write(submission, now)
        except RefusedError as refused:
            self.database.execute("ROLLBACK TO submission")
            self.records.reload()
            return refused
        finally:
            self.database.execute("RELEASE submission")
