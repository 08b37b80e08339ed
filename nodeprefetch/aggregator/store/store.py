"""The store of results: writes requests in transactions, and knows whether the database can be used."""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.damage import is_damage
from nodeprefetch.aggregator.store.records import Receipt, Records, Submission
from nodeprefetch.aggregator.store.schema import VERSION
from nodeprefetch.errors import NodeprefetchError


class StoreError(NodeprefetchError):
    """Raised when the database cannot be written, for example on a full disk. Nothing of the transaction is stored."""


class Store:
    """The stored results.

    Only Trio's thread uses it: a transaction of thousands of results takes milliseconds, and a second thread would wait
    for the interpreter's lock between any two of them.

    Args:
        database: from `open_database`.
        bounds: limits of its content.
        results_kept: maximum number of attempts; the newest are kept.
        log: logs a line when the database becomes unusable, and when it is usable again.
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
        self._recovered = ""
        self.records = Records(database, bounds)
        self.version = 0
        """Changes with every change of the database."""

        self.problem: RefusedError | None = None
        """Why the database cannot be used, from the last transaction or query; None: it can."""

        self.is_suspect = False
        """Whether the database may be damaged, which is checked before it counts as usable again."""

        self._opened = secrets.token_hex(4)

    @property
    def tag(self) -> str:
        """A text that changes with every change of the database and with restarts; part of ETags."""
        return f"{self._opened}-{self.version}"

    @property
    def is_healthy(self) -> bool:
        """Whether the database can be written and read, as far as is known."""
        return self.problem is None

    def write(self, requests: Sequence[Sequence[Submission]], now: int) -> list[Receipt | RefusedError]:
        """Store requests in one transaction. They are stored when this returns.

        Args:
            requests: the submissions of each request, in order of arrival.
            now: Unix seconds.

        Returns:
            a result for each request: a submission beyond a limit is refused completely, and ends its request.

        Raises:
            StoreError: nothing is stored.
        """
        try:
            if self._is_behind:
                self._probe()
                self._reload()
            self.database.execute("BEGIN IMMEDIATE")
            results = [self._write_request(request, now) for request in requests]
            self.records.tallies.write()
            self.records.keep_newest(self._results_kept)
            self.database.execute("COMMIT")
        except sqlite3.Error as error:
            self.fail("could not store results", error)
            with suppress(sqlite3.Error):
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
            raise StoreError(f"could not store results: {error}") from error
        self._set_healthy()
        self.version += 1
        return results

    def fail(self, what: str, error: sqlite3.Error) -> None:
        """Record a failed write. Logs it once, until writing works again."""
        self._is_behind = True
        self._fail("not_stored", what, "written", error)

    def fail_reading(self, error: sqlite3.Error) -> RefusedError:
        """Record a failed query. Logs it once, until the database works again. Returns the refusal to send."""
        what = "could not read results"
        self.is_suspect = True
        return self._fail("not_readable", what, "read", error)

    def _fail(self, reason: str, what: str, done: str, error: sqlite3.Error) -> RefusedError:
        self.is_suspect = self.is_suspect or is_damage(error)
        refused = RefusedError(503, reason, f"{what}: {error}", retry_after=self.records.bounds.retry_after)
        if self.problem is None:
            self.problem = refused
            self._recovered = f"database can be {done} again"
            self._log(f"{what}: {error} (not ready until the database can be {done} again)")
        return refused

    def recover(self) -> None:
        """After a failure, test whether the database can be written again, because no submission arrives until then.

        Raises:
            sqlite3.Error: it cannot.
        """
        if self.is_healthy:
            return
        self._probe()
        self._reload()
        self._set_healthy()

    def _probe(self) -> None:
        self.database.execute(f"PRAGMA user_version = {VERSION}")  # writes the value that is already there

    def _set_healthy(self) -> None:
        if self.problem is not None and not self.is_suspect:
            self.problem = None
            self._log(self._recovered)

    def _reload(self) -> None:
        """Read everything that is kept in memory again from the database."""
        self.records.reload()
        self.records.count()
        self.version += 1
        self._is_behind = False

    def _write_request(self, request: Sequence[Submission], now: int) -> Receipt | RefusedError:
        accepted = duplicates = 0
        for submission in request:
            result = self._write(submission, now)
            if isinstance(result, RefusedError):
                return result
            accepted += result.accepted
            duplicates += result.duplicates
        return Receipt(accepted=accepted, duplicates=duplicates)

    def _write(self, submission: Submission, now: int) -> Receipt | RefusedError:
        """Write one submission. A refused one undoes only its own changes."""
        if not submission.batch.events:
            return Receipt(accepted=0, duplicates=0)
        self.database.execute("SAVEPOINT submission")
        self.records.begin()
        result: Receipt | RefusedError
        try:
            result = self.records.write(submission, now)
        except RefusedError as refused:
            self.database.execute("ROLLBACK TO submission")
            self.records.undo()
            result = refused
        # Not in a `finally`: after an error such as a full disk SQLite has rolled back already.
        self.database.execute("RELEASE submission")
        return result
