"""Writes one submission's events: attempts, states, runs, tallies and the live stream; each event once."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.backlog import rows_of
from nodeprefetch.aggregator.store.names import Names, Runs
from nodeprefetch.aggregator.store.oldest import delete_oldest_attempts, trim_backlog
from nodeprefetch.aggregator.store.states import NodeStates, UnderWay, changed, of_older_tool, waiting
from nodeprefetch.aggregator.store.tallies import Tallies
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    Batch,
    Event,
    ImageFinished,
    Progress,
    RunFinished,
    RunStarted,
)

_ATTEMPT = "INSERT OR {} INTO attempt VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_IGNORE, _REPLACE = _ATTEMPT.format("IGNORE"), _ATTEMPT.format("REPLACE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What one request brings of one run."""

    batch: Batch
    older: bool = False
    """From the older tool: attempts without a run; one that is known is replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of a submission."""

    accepted: int
    """Events that were stored, or passed through the live stream."""

    duplicates: int
    """Events that were known."""


class Records:
    """What a submission is written into.

    Args:
        database: as `open_database` gives it.
        bounds: how much may be in it.
    """

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self._database = database
        self.bounds = bounds
        self.nodes = Names(database, "node", bounds.nodes, bounds.name, bounds.retry_after)
        self.images = Names(database, "image", bounds.images, bounds.image, bounds.retry_after)
        self.instances = Names(database, "instance", bounds.instances, bounds.name, bounds.retry_after)
        self.tallies = Tallies(database)
        self.under_way = UnderWay()
        self.runs = Runs(database, bounds)
        self.attempts = self.states = self.live_bytes = 0
        """How many attempts and states there are, and the bytes in the live stream's backlog."""
        self._added = 0
        """Events written since `keep_newest`."""

        self.forgotten: Counter[str] = Counter()
        """Rows deleted by retention and bounds since the start, by table."""

        self.count()

    def reload(self) -> None:
        """Names, runs and tallies kept in memory are again what is in the database."""
        for kept in (self.nodes, self.images, self.instances, self.tallies, self.runs):
            kept.reload()

    def begin(self) -> None:
        """Another submission begins."""
        for kept in (self.nodes, self.images, self.instances, self.runs):
            kept.begin()

    def undo(self) -> None:
        """Take back what this submission, which is refused, has changed in memory."""
        for kept in (self.nodes, self.images, self.instances, self.runs):
            kept.undo()

    def count(self) -> None:
        """Count again what there is."""
        execute = self._database.execute
        (self.attempts,) = execute("SELECT count(*) FROM attempt").fetchone()
        (self.states,) = execute("SELECT count(*) FROM state").fetchone()
        (self.live_bytes,) = execute("SELECT coalesce(sum(length(body)), 0) FROM live").fetchone()

    def write(self, submission: Submission, now: int) -> Receipt:
        """Write one submission. Inside a transaction.

        Raises:
            RefusedError: a bound; what was written before must be rolled back, and `undo` called. No attempt has been
                written or counted then.
        """
        batch = submission.batch
        node, instance = self.nodes.number(batch.node, now), self.instances.number(batch.instance, now)
        run = 0 if submission.older else self.runs.number(batch, instance, node, now)
        states = NodeStates(self._database, instance, node)
        number = self.images.number
        attempts: list[tuple[int, AttemptFinished]] = []
        known: set[int] = set()  # id() of events that are no news
        for event in batch.events:
            match event:
                case AttemptFinished():
                    image = number(event.image, now)
                    attempts.append((image, event))
                    self.under_way.end((node, instance, image), run, event)
                    before = states.get(image)
                    states.put(image, of_older_tool(before, event) if submission.older else changed(before, run, event))
                case AttemptStarted():
                    image = number(event.image, now)
                    states.put(image, changed(states.get(image), run, event))
                case ImageFinished():
                    image = number(event.image, now)
                    self.under_way.end((node, instance, image), run, event)
                    if not states.put(image, changed(states.get(image), run, event)):
                        known.add(id(event))
                case Progress():
                    found = self.images.find(event.image)
                    if found is not None and states.get(found) is not None:
                        self.under_way.take((node, instance, found), run, event)
                case RunStarted():
                    if not self._start(run, event, states, now):
                        known.add(id(event))
                case RunFinished():
                    if not self.runs.finished(run, event):
                        known.add(id(event))
                case _:  # passes through the live stream
                    pass
        if self.states + states.growth > self.bounds.states:
            raise RefusedError(
                429,
                "too_many_states",
                f"the states of {self.bounds.states} images on nodes are kept already",
                retry_after=self.bounds.retry_after,
            )
        states.write(now)
        self.states += states.growth
        known |= self._write_attempts(attempts, run, node, now, replace=submission.older)
        news = [event for event in batch.events if id(event) not in known] if known else batch.events
        if news:
            self._publish(batch, news, now)
        self._added += len(news)
        return Receipt(accepted=len(news), duplicates=len(known))

    def keep_newest(self, attempts: int) -> None:
        """Delete the oldest attempts beyond that number, and what is too much of the backlog. Inside a transaction.

        It takes as long as what was added: of very many that are too many, as after a restart with a smaller number,
        the rest is left to the retention.

        Args:
            attempts: how many are kept.
        """
        most, self._added = 2 * self._added, 0
        gone = rows = freed = 0
        if (excess := self.attempts - attempts) > 0:
            gone = delete_oldest_attempts(self._database, min(excess, most))
        if (excess := self.live_bytes - self.bounds.backlog) > 0:
            freed, rows = trim_backlog(self._database, excess, most=most)
        self.attempts -= gone
        self.live_bytes -= freed
        self.forgotten.update(attempt=gone, live=rows)

    def _start(self, run: int, event: RunStarted, states: NodeStates, now: int) -> bool:
        if not self.runs.started(run, event):
            return False
        images = [self.images.number(image, now) for image in event.images]
        states.drop_others(set(images), run)
        for image in images:
            states.put(image, waiting(states.get(image), run, event.at))
        return True

    def _write_attempts(
        self, attempts: Sequence[tuple[int, AttemptFinished]], run: int, node: int, now: int, *, replace: bool
    ) -> set[int]:
        """Returns the `id()` of those that were known."""
        if not attempts:
            return set()
        execute = self._database.execute
        known: set[int] = set()
        if replace:
            select = "SELECT 1 FROM attempt WHERE run = 0 AND node = ? AND attempt_id = ?"
            known = {id(event) for _, event in attempts if execute(select, (node, event.attempt_id)).fetchone()}
        (last,) = execute("SELECT coalesce(max(seq), 0) FROM attempt").fetchone()
        rows = [
            (
                run,
                event.attempt_id,
                node,
                image,
                event.attempt,
                event.started_at,
                event.duration,
                event.error,
                event.error_class,
                event.reason,
                event.credential,
                event.size,
                event.digest,
                now,
            )
            for image, event in attempts
        ]
        written = self._database.executemany(_REPLACE if replace else _IGNORE, rows).rowcount
        if not replace and written < len(rows):
            select = "SELECT attempt_id FROM attempt WHERE seq > ?"
            fresh = {attempt_id for (attempt_id,) in execute(select, (last,))}
            for _, event in attempts:  # of two with one ID in a batch the first is the news
                if event.attempt_id in fresh:
                    fresh.remove(event.attempt_id)
                else:
                    known.add(id(event))
        self.attempts += len(attempts) - len(known)
        add = self.tallies.add
        for image, event in attempts:
            if id(event) not in known:
                add(image, event)
        return known

    def _publish(self, batch: Batch, news: Sequence[Event], now: int) -> None:
        rows = rows_of(batch, news)
        self._database.executemany("INSERT INTO live (received, body) VALUES (?, ?)", [(now, row) for row in rows])
        self.live_bytes += sum(map(len, rows))
