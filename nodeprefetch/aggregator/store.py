"""The one writer of the database: many submissions in one transaction, each of them wholly or not at all."""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

from nodeprefetch.aggregator.recording import Receipt, Records, Submission
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.schema import VERSION
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
        results_kept: how many attempts are kept, the newest.
        log: takes a line for people when the database cannot be written, and when it can be again.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        bounds: Bounds,
        results_kept: int = 1_000_000,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.database = database
        self._results_kept = results_kept
        self._log = log
        self._is_behind = False
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
            if self._is_behind:
                self._reload()
            self.database.execute("BEGIN IMMEDIATE")
            answers = [self._write(submission, now) for submission in submissions]
            self.records.tallies.write()
            added = sum(answer.accepted for answer in answers if isinstance(answer, Receipt))
            self.records.keep_newest(self._results_kept, added)
            self.database.execute("COMMIT")
        except sqlite3.Error as error:
            self.fail("the results could not be stored", error)
            with suppress(sqlite3.Error):  # it is tried again with the next results
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                self._reload()
            raise StoreError(f"the results could not be stored: {error}") from error
        self._pass()
        self.version += 1
        return answers

    def fail(self, what: str, error: sqlite3.Error) -> None:
        """Something could not be written. Logged once, until it can be again."""
        self._is_behind = True
        if self.is_healthy:
            self.is_healthy = False
            self._log(f"{what}: {error}; not ready until the database can be written again")

    def recover(self) -> None:
        """After a failure, see whether the database can be written again: nobody may submit while it cannot.

        Raises:
            sqlite3.Error: it cannot.
        """
        if self.is_healthy:
            return
        self._reload()
        self.database.execute(f"PRAGMA user_version = {VERSION}")  # what it is already; it is written all the same
        self._pass()

    def _pass(self) -> None:
        if not self.is_healthy:
            self.is_healthy = True
            self._log("the database can be written again")

    def _reload(self) -> None:
        """What is kept in memory is again what is in the database."""
        self.records.reload()
        self.records.count()
        self._is_behind = False

    def _write(self, submission: Submission, now: int) -> Receipt | RefusedError:
        """A refused one undoes what it has done itself, and costs no more than that."""
        if not submission.batch.events:
            return Receipt(accepted=0, duplicates=0)
        self.database.execute("SAVEPOINT submission")
        self.records.begin()
        answer: Receipt | RefusedError
        try:
            answer = self.records.write(submission, now)
        except RefusedError as refused:
            self.database.execute("ROLLBACK TO submission")
            self.records.undo()
            answer = refused
        self.database.execute(
            "RELEASE submission"
        )  # not after an error: on a full disk SQLite has rolled back by itself
        return answer
