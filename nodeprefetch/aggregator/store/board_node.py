"""Reads a node of a board from the database, with all its images, and the progress of its pulls."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nodeprefetch.aggregator.store.gates import gave_up_of
from nodeprefetch.aggregator.store.node_facts import facts_of
from nodeprefetch.aggregator.store.node_reports import rejection_of
from nodeprefetch.aggregator.store.overview import node_state
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.board import FAILED, PRESENT, PULLING, SUCCEEDED, WAITING, BoardNode
from nodeprefetch.events import Outcome
from nodeprefetch.runtime.faults import FINAL

CELLS = {
    Outcome.WAITING: WAITING,
    Outcome.PULLING: PULLING,
    Outcome.SUCCEEDED: SUCCEEDED,
    Outcome.PRESENT: PRESENT,
    Outcome.FAILED: FAILED,
}
ON_NODE = frozenset((SUCCEEDED, PRESENT))

LONGEST = 1_000
"""Characters of an error that are shown."""

_STATES = """
SELECT image, run, state, error_class, reason, error, size, digest, received
FROM state WHERE node = ? AND instance = ?
"""
_RUN = """
SELECT node_report.run, coalesce(heard, 0), coalesce(started_at, 0), coalesce(ended, ''), coalesce(list_digest, '')
FROM node_report LEFT JOIN run ON run.id = node_report.run WHERE node_report.node = ? AND node_report.instance = ?
"""


class Failure(NamedTuple):
    """An image that is missing on a node with an error."""

    image: int
    cause: int
    """Hash of image, error class and reason: of very many different ones, the texts would take too much memory."""

    is_final: bool
    is_for_good: bool
    """Repeating what was done cannot help."""

    error: int
    """Hash of the error, so that a change is seen."""


@dataclass(slots=True, kw_only=True)
class NodeStates:
    """What a board keeps of a node. All sequences are in the order of `images`."""

    number: int
    images: tuple[int, ...]
    """Numbers of the images in its list, ascending."""

    cells: str
    digests: "array[int]"
    """Hashes of the digests of the images that it has; 0: none."""

    sizes: "array[int]"
    """Bytes of the images that it has; 0: unknown."""

    failures: tuple[Failure, ...]
    pulls: tuple[tuple[int, int], ...]
    """Images that it pulls: their indexes, and the numbers of their runs."""

    run: int
    """Number of its newest run; 0: it reports as image-prefetcher."""

    received: int
    """Unix seconds of the latest state."""

    unsized: tuple[int, ...] = ()
    """Images that it pulls, and whose totals are not known."""

    later: int | None = None
    """Bytes of the images that wait or are `unsized`; None: to be summed up."""

    view: BoardNode
    """What is shown; its cells and shares are those of the board's columns."""


def read_node(store: Store, node: int, instance: int, name: str) -> NodeStates | None:
    """Return a node without progress, and with a view whose cells are those of its own list; None: it has no states.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    rows = store.database.execute(_STATES, (node, instance)).fetchall()
    if not rows:
        return None
    images, runs, states, classes, reasons, errors, sizes, digests, received = zip(*rows, strict=True)
    cells = "".join([CELLS[state] for state in states])
    held = [hash(each) if each and at in ON_NODE else 0 for each, at in zip(digests, cells, strict=True)]
    run, heard, started, end, list_digest = _run_of(store, node, instance)
    facts = facts_of(store.database, node)
    return NodeStates(
        number=node,
        images=images,
        cells=cells,
        digests=array("q", held),
        sizes=array("q", [each if at in ON_NODE else 0 for each, at in zip(sizes, cells, strict=True)]),
        failures=_failures(images, cells, classes, reasons, errors) if any(errors) or FAILED in cells else (),
        pulls=tuple((index, runs[index]) for index, at in enumerate(cells) if at == PULLING)
        if PULLING in cells
        else (),
        run=run,
        received=max(received),
        view=BoardNode(
            node=name,
            state=node_state(set(states)),
            cells=cells,
            list_digest=list_digest,
            heard=max(heard, *received),
            run_started=started,
            run_end=end,
            gave_up=bool(gave_up_of(store.database, node, instance)),
            zone=facts.zone,
            pool=facts.pool,
            created=facts.created,
            list_rejected=str(rejection_of(store.database, node, instance).get("problem", ""))[:LONGEST],
        ),
    )


def heard_of(store: Store, states: NodeStates, instance: int) -> int | None:
    """Return when a node was heard of, in Unix seconds; None: it has begun another run.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    run, heard, _, _, _ = _run_of(store, states.number, instance)
    return max(heard, states.received) if run == states.run else None


def read_error(store: Store, node: int, instance: int, image: int) -> tuple[str, str, str]:
    """Return error class, reason and error of an image on a node; empty if there is none.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    select = "SELECT error_class, reason, error FROM state WHERE node = ? AND instance = ? AND image = ?"
    found = store.database.execute(select, (node, instance, image)).fetchone()
    return (*found[:2], found[2][:LONGEST]) if found else ("", "", "")


def cause_of(image: int, error_class: str, reason: str) -> int:
    """Return what `Failure.cause` is."""
    return hash((image, error_class, reason))


def _run_of(store: Store, node: int, instance: int) -> tuple[int, int, float, str, str]:
    found: tuple[int, int, float, str, str] | None = store.database.execute(_RUN, (node, instance)).fetchone()
    return found or (0, 0, 0, "", "")


def _failures(
    images: Sequence[int], cells: str, classes: Sequence[str], reasons: Sequence[str], errors: Sequence[str]
) -> tuple[Failure, ...]:
    """Return the images that failed, and those that are missing with an error: they are retried."""
    return tuple(
        Failure(image, cause_of(image, error_class, reason), at == FAILED, error_class in FINAL, hash(error))
        for image, at, error_class, reason, error in zip(images, cells, classes, reasons, errors, strict=True)
        if at == FAILED or (error and at not in ON_NODE)
    )
