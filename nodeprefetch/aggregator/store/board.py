"""The board of one instance, kept in memory while somebody reads it: only nodes that have changed are read again.

The database is read in steps of a few milliseconds, between which other tasks run. So a board is not a snapshot: each
node is shown as it was at its own time.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from nodeprefetch.aggregator.store.board_causes import board_causes
from nodeprefetch.aggregator.store.board_columns import Columns
from nodeprefetch.aggregator.store.board_counts import BoardCounts
from nodeprefetch.aggregator.store.board_node import NodeStates, heard_of, read_node
from nodeprefetch.aggregator.store.board_progress import seconds_left, with_progress
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.board import Board, BoardCause, BoardChange, BoardImage, BoardSummary

_AT_ONCE = 1_000
"""Images read in a step: a few milliseconds."""

_LISTS = 1_000
"""Different lists of nodes that are kept once."""

Turn = Callable[[], AbstractAsyncContextManager[None]]


class InstanceBoard:
    """The board of an instance.

    Args:
        store: where the states are.
        instance: its name, which is known.
        number: its number.
    """

    def __init__(self, store: Store, instance: str, number: int) -> None:
        self.instance = instance
        self.number = number
        self.revision = 0
        """Grows with each change of what is shown."""

        self.layout = 0
        """Grows when the columns change: then nobody can use `change`."""

        self.change: BoardChange | None = None
        """What the latest revision has changed; None: everything."""

        self._store = store
        self._marks = store.records.changes.follow(number)
        self._key = secrets.token_hex(4)
        self._version = -1
        self._forget_all()

    @property
    def tag(self) -> str:
        """A text that differs for boards with different content."""
        return f"{self._key}-{self.revision}"

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self._nodes)

    def close(self) -> None:
        """Stop following changes."""
        self._store.records.changes.unfollow(self.number, self._marks)

    def whole(self, at: float) -> Board:
        """Return the board of the latest revision.

        Args:
            at: Unix seconds.
        """
        return Board(
            at=at,
            instance=self.instance,
            instances=self._instances,
            summary=self._summary,
            images=self._images,
            images_left_out=self._columns.left_out,
            nodes=tuple(self._nodes[number].view for number in sorted(self._nodes)),
            causes=self._causes,
        )

    async def refresh(self, turn: Turn) -> None:
        """Bring the board up to what was stored before this call. One task at a time; may be cancelled.

        Args:
            turn: gives a context in which a step may be done.

        Raises:
            sqlite3.Error: the database cannot be read. What was not read is read next time.
        """
        version = self._store.version
        if version == self._version:
            return
        marks = self._marks.take()
        if marks.is_all:
            self._forget_all()
        for node, is_more in marks.nodes.items():
            self._todo[node] = self._todo.get(node, False) or is_more
        names = self._store.records.nodes.by_number()
        while self._todo:
            async with turn():
                self._read_some(names)
        async with turn():
            self._place()
        while self._misplaced:
            async with turn():
                self._move_some()
        async with turn():
            self._publish()
        self._version = version

    def _forget_all(self) -> None:
        """Begin anew, with all nodes to be read."""
        self._nodes: dict[int, NodeStates] = {}
        self._counts = BoardCounts()
        self._columns, self._order = Columns(), tuple[int, ...]()
        self._lists: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._todo = dict.fromkeys(self._store.records.nodes.by_number(), True)
        self._misplaced: list[int] = []
        self._changed, self._removed = set[int](), set[str]()
        self._images, self._causes = tuple[BoardImage, ...](), tuple[BoardCause, ...]()
        self._instances = tuple[str, ...]()
        self._summary = BoardSummary()
        self._is_whole = True

    def _read_some(self, names: dict[int, str]) -> None:
        done = 0
        while self._todo and done < _AT_ONCE:
            node, is_more = next(iter(self._todo.items()))
            before = self._nodes.get(node)
            name = names.get(node)
            if name is None:
                self._set(node, before, None)
            elif before is None or is_more or not self._heard(before):
                after = read_node(self._store, node, self.number, name)
                self._set(node, before, None if after is None else self._shown(after))
                done += len(after.images) if after else 1
            del self._todo[node]
            done += 10  # a look-up costs about as much as ten rows

    def _heard(self, states: NodeStates) -> bool:
        """Take the progress of a node. Returns False if it has to be read again."""
        heard = heard_of(self._store, states, self.number)
        if heard is None:
            return False
        view = with_progress(self._store.records.progress, states, self.number, self._columns)
        view = msgspec.structs.replace(view, heard=heard)
        if view != states.view:
            states.view = view
            self._changed.add(states.number)
        return True

    def _shown(self, states: NodeStates) -> NodeStates:
        """Show a node in the columns of the board."""
        if len(self._lists) > _LISTS:
            self._lists.clear()
        states.images = self._lists.setdefault(states.images, states.images)
        states.view = with_progress(self._store.records.progress, states, self.number, self._columns)
        return states

    def _set(self, node: int, before: NodeStates | None, after: NodeStates | None) -> None:
        if before is not None and (after is None or after.view.node != before.view.node):
            self._removed.add(before.view.node)
        if after is None:
            self._nodes.pop(node, None)
            self._changed.discard(node)
        else:
            if before is None or before.view != after.view:
                self._changed.add(node)
            self._nodes[node] = after
        self._counts.replace(before, after)

    def _place(self) -> None:
        """Find out which columns there are, and whether cells have to be moved."""
        order = self._store.records.orders.newest(self.number)
        if not self._counts.columns_changed and order == self._order:
            return
        self._counts.columns_changed, self._order = False, order
        columns = Columns(self._counts.listed, order)
        if (columns.images, columns.left_out) != (self._columns.images, self._columns.left_out):
            self._columns = columns
            self._counts.images_changed = self._counts.causes_changed = self._is_whole = True
            self._misplaced = list(self._nodes)

    def _move_some(self) -> None:
        done = 0
        while self._misplaced and done < _AT_ONCE:
            states = self._nodes.get(self._misplaced.pop())
            if states is not None:  # still, if an earlier refresh was cancelled
                states.view = with_progress(self._store.records.progress, states, self.number, self._columns)
            done += 1 + len(self._columns.images) // 10

    def _publish(self) -> None:
        """Make a revision if anything has changed."""
        images, causes, instances = self._images, self._causes, self._instances
        records = self._store.records
        self._instances = tuple(sorted(name for name, _, _ in records.instances.heard()))
        self._counts.find_largest()
        if self._counts.images_changed:
            self._images = self._all_images()
            self._counts.images_changed = False
        if self._counts.causes_changed:
            self._causes, is_true = board_causes(self._store, self.number, self._counts, self._columns)
            self._counts.causes_changed = not is_true
        summary, self._summary = self._summary, self._sum()
        is_whole, self._is_whole = self._is_whole or instances != self._instances, False
        changed = tuple(self._nodes[node].view for node in sorted(self._changed))
        removed = tuple(sorted(self._removed - {view.node for view in changed}))
        self._changed, self._removed = set(), set()
        news = (images != self._images, causes != self._causes, summary != self._summary)
        if is_whole:
            self.change = None
        elif changed or removed or any(news):
            self.change = BoardChange(
                at=time.time(),
                summary=self._summary,
                nodes=changed,
                removed=removed,
                images=self._images if news[0] else None,
                causes=self._causes if news[1] else None,
            )
        else:
            return
        self.revision += 1

    def _all_images(self) -> tuple[BoardImage, ...]:
        names, counts = self._store.records.images.by_number(), self._counts
        return tuple(
            BoardImage(
                image=(name := names.get(image, "")),
                size=counts.largest.get(image, 0),
                missing=counts.missing[image],
                digests=0 if "@" in name else len(counts.digests.of(image)),
            )
            for image in self._columns.images
        )

    def _sum(self) -> BoardSummary:
        views = [states.view for states in self._counts.pulling.values()]
        gone = self._store.records.node_reports.gone().get(self.number)
        with_totals = [view for view in views if view.total_bytes]
        return BoardSummary(
            nodes={state: nodes for state, nodes in self._counts.states.items() if nodes},
            gone=gone.nodes if gone else 0,
            done_bytes=sum(view.done_bytes for view in with_totals or views),
            total_bytes=sum(view.total_bytes for view in views),
            rate=sum(view.rate for view in views),
            seconds_left=seconds_left(self._counts),
        )


def empty_board(store: Store, instance: str) -> Board:
    """Return the board of an instance that nobody has reported for."""
    instances = tuple(sorted(name for name, _, _ in store.records.instances.heard()))
    return Board(
        at=time.time(), instance=instance, instances=instances, summary=BoardSummary(), images=(), nodes=(), causes=()
    )
