"""Writes the events of a submission, each once: attempts, states, runs, tallies and the live stream."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.backlog import rows_of
from nodeprefetch.aggregator.store.changes import Changes
from nodeprefetch.aggregator.store.gates import Gates
from nodeprefetch.aggregator.store.list_orders import ListOrders
from nodeprefetch.aggregator.store.names import Names, Runs
from nodeprefetch.aggregator.store.node_facts import put_facts
from nodeprefetch.aggregator.store.node_reports import NodeReports
from nodeprefetch.aggregator.store.oldest import delete_oldest_attempts, trim_backlog
from nodeprefetch.aggregator.store.progress import LatestProgress
from nodeprefetch.aggregator.store.slices import StateKey
from nodeprefetch.aggregator.store.states import NodeStates, changed, legacy_state, waiting
from nodeprefetch.aggregator.store.tag_moves import TagMoves
from nodeprefetch.aggregator.store.tallies import Tallies
from nodeprefetch.aggregator.store.throttles import Throttles
from nodeprefetch.batch import Batch
from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    GateOpened,
    ImageFinished,
    ListRejected,
    NodeDescribed,
    Progress,
    PullsPaused,
    PullsResumed,
    RegistryThrottled,
    RunFinished,
    RunStarted,
    TagMoved,
)

_ATTEMPT = "INSERT OR {} INTO attempt VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OF_PROGRESS = (Progress, PullsPaused, PullsResumed)
_IGNORE, _REPLACE = _ATTEMPT.format("IGNORE"), _ATTEMPT.format("REPLACE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """The events of one run in one request."""

    batch: Batch
    legacy: bool = False
    """From image-prefetcher: attempts without a run; a known one is replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The result of a submission."""

    accepted: int
    """Events stored, or only passed on to the live stream."""

    duplicates: int
    """Events that were stored before."""


@dataclass(kw_only=True, slots=True)
class _Target:
    """Whose the events of a submission are, and what is still to be written of them."""

    node: int
    instance: int
    run: int
    states: NodeStates
    legacy: bool
    now: int
    """Unix seconds."""

    attempts: list[tuple[int, AttemptFinished]] = field(default_factory=list)
    """With the numbers of their images."""

    moved: list[int] = field(default_factory=list)
    """Numbers of images whose tag has moved."""


class Records:
    """The tables that submissions are written to, and what is kept of them in memory.

    Args:
        database: from `open_database`.
        bounds: limits of its content.
    """

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self._database = database
        self.bounds = bounds
        self.nodes = Names(database, "node", bounds.nodes, bounds.name, bounds.retry_after)
        self.images = Names(database, "image", bounds.images, bounds.image, bounds.retry_after)
        self.instances = Names(database, "instance", bounds.instances, bounds.name, bounds.retry_after)
        self.tallies = Tallies(database)
        self.throttles = Throttles(database)
        self.tag_moves = TagMoves(database)
        self.gates = Gates(database)
        self.node_reports = NodeReports(database)
        self.changes = Changes()
        self.orders = ListOrders()
        self.progress = LatestProgress(on_drop=self._mark_progress)
        self.runs = Runs(database, bounds)
        self.attempts = self.states = self.live_bytes = 0
        """Number of attempts and of states, and bytes in the live stream's backlog."""
        self._added = 0
        """Events written since `keep_newest`."""

        self.forgotten: Counter[str] = Counter()
        """Rows deleted by retention and limits since the start, by table."""

        self.count()

    def reload(self) -> None:
        """Read names, runs and tallies again from the database."""
        for kept in (
            self.nodes,
            self.images,
            self.instances,
            self.tallies,
            self.throttles,
            self.tag_moves,
            self.runs,
        ):
            kept.reload()
        self.orders.forget()
        self.changes.mark_all()

    def begin(self) -> None:
        """Begin a submission."""
        for kept in (self.nodes, self.images, self.instances, self.runs):
            kept.begin()

    def undo(self) -> None:
        """Undo the changes of the current submission, which is refused, in memory."""
        for kept in (self.nodes, self.images, self.instances, self.runs):
            kept.undo()

    def count(self) -> None:
        """Count attempts, states and bytes of the backlog in the database."""
        execute = self._database.execute
        (self.attempts,) = execute("SELECT count(*) FROM attempt").fetchone()
        (self.states,) = execute("SELECT count(*) FROM state").fetchone()
        (self.live_bytes,) = execute("SELECT coalesce(sum(length(body)), 0) FROM live").fetchone()

    def write(self, submission: Submission, now: int) -> Receipt:
        """Write one submission. Inside a transaction.

        Raises:
            RefusedError: a limit is reached. The caller must roll back what was written, and call `undo`. No attempt
                has been written or counted.
        """
        batch = submission.batch
        node, instance = self.nodes.number(batch.node, now), self.instances.number(batch.instance, now)
        run = 0 if submission.legacy else self.runs.number(batch, instance, node, now)
        is_progress = all(isinstance(event, _OF_PROGRESS) for event in batch.events)
        self.changes.mark(node, instance, is_progress=is_progress)  # also if it is refused: progress stays
        if run:
            self.node_reports.begin(node, instance, run)
        states = NodeStates(self._database, instance, node)
        to = _Target(node=node, instance=instance, run=run, states=states, legacy=submission.legacy, now=now)
        known = {id(event) for event in batch.events if not self._take(event, to)}  # events that were stored before
        if self.states + states.growth > self.bounds.states:
            raise RefusedError(
                429,
                "too_many_states",
                f"cannot store the states of more than {self.bounds.states} images on nodes",
                retry_after=self.bounds.retry_after,
            )
        states.write(now)
        self.states += states.growth
        self.tag_moves.add(to.moved)
        throttles = [event for event in batch.events if isinstance(event, RegistryThrottled)]
        known.update(id(event) for event in throttles if not self.throttles.add(run, event))
        known |= self._write_attempts(to)
        news = [event for event in batch.events if id(event) not in known] if known else batch.events
        if news:
            self._publish(batch, news, now)
        self._added += len(news)
        return Receipt(accepted=len(news), duplicates=len(known))

    def newest_instance(self) -> str | None:
        """Return the name of the instance that was heard of last; None: there is none."""
        heard = self.runs.heard  # to the second; without image-prefetcher
        known = [(max(at, heard.get(number, 0)), number, name) for name, number, at in self.instances.heard()]
        return max(known)[2] if known else None

    def keep_newest(self, attempts: int) -> None:
        """Delete the oldest attempts and backlog rows beyond their limits. Inside a transaction.

        Deletes at most twice as many as were added. If there are many more, as after a restart with a lower limit, the
        retention task deletes the rest.

        Args:
            attempts: number to keep.
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

    def _take(self, event: Event, to: _Target) -> bool:
        """Take an event into states, runs and progress. Returns False if it was stored before, as far as these know."""
        states, run = to.states, to.run
        match event:
            case AttemptFinished():
                image = self._ended(event, to)
                to.attempts.append((image, event))
                before = states.get(image)
                states.put(image, legacy_state(before, event) if to.legacy else changed(before, run, event))
            case AttemptStarted():
                image = self.images.number(event.image, to.now)
                states.put(image, changed(states.get(image), run, event))
            case ImageFinished():
                image = self._ended(event, to)
                return states.put(image, changed(states.get(image), run, event))
            case TagMoved():
                image = self.images.number(event.image, to.now)
                if not states.move(image, run, event):
                    return False
                to.moved.append(image)
            case Progress():
                self._take_progress((event.image,), event, to)
            case PullsPaused() | PullsResumed():
                self._take_progress(event.images, event, to)
            case RunStarted():
                return self._start(event, to)
            case ListRejected():
                return self.node_reports.reject(to.node, to.instance, run, event)
            case NodeDescribed():
                if not put_facts(self._database, to.node, event):
                    return False
                self.changes.mark_everywhere(to.node)
            case GateOpened():
                return self.gates.put(to.node, to.instance, run, event)
            case RunFinished():
                return self.runs.finished(run, event)
            case _:  # only for the live stream, or stored by `write`
                pass
        return True

    def _ended(self, event: AttemptFinished | ImageFinished, to: _Target) -> int:
        """End the progress of an image's pull. Returns the image's number."""
        image = self.images.number(event.image, to.now)
        self.progress.end((to.node, to.instance, image), to.run, event)
        return image

    def _start(self, event: RunStarted, to: _Target) -> bool:
        if not self.runs.started(to.run, event):
            return False
        self.node_reports.promise(to.node, to.instance, to.run, event)
        images = [self.images.number(image, to.now) for image in event.images]
        self.orders.take(to.instance, images)
        to.states.drop_others(set(images), to.run)
        for image in images:
            to.states.put(image, waiting(to.states.get(image), to.run, event.at, is_warm=event.is_warm))
        return True

    def _take_progress(self, images: Iterable[str], event: Progress | PullsPaused | PullsResumed, to: _Target) -> None:
        for image in images:
            found = self.images.find(image)
            if found is not None and to.states.get(found) is not None:
                self.progress.take((to.node, to.instance, found), to.run, event)

    def _write_attempts(self, to: _Target) -> set[int]:
        """Return the `id()` of attempts that were stored before."""
        attempts, run, node, replace = to.attempts, to.run, to.node, to.legacy
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
                to.now,
                event.limit,
            )
            for image, event in attempts
        ]
        written = self._database.executemany(_REPLACE if replace else _IGNORE, rows).rowcount
        if not replace and written < len(rows):
            select = "SELECT attempt_id FROM attempt WHERE seq > ?"
            fresh = {attempt_id for (attempt_id,) in execute(select, (last,))}
            for _, event in attempts:  # of two with the same ID in a batch the first is new
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

    def _mark_progress(self, key: StateKey) -> None:
        node, instance, _ = key
        self.changes.mark(node, instance, is_progress=True)

    def _publish(self, batch: Batch, news: Sequence[Event], now: int) -> None:
        rows = rows_of(batch, news)
        self._database.executemany("INSERT INTO live (received, body) VALUES (?, ?)", [(now, row) for row in rows])
        self.live_bytes += sum(map(len, rows))
