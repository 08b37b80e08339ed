"""The causes that a board shows: those of the most nodes, with an error and names of nodes."""

import heapq

from nodeprefetch.aggregator.store.board_columns import Columns
from nodeprefetch.aggregator.store.board_counts import BoardCounts
from nodeprefetch.aggregator.store.board_node import cause_of, read_error
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.board import BoardCause

_MOST, _EXAMPLES = 100, 10


def board_causes(
    store: Store, instance: int, counts: BoardCounts, columns: Columns
) -> tuple[tuple[BoardCause, ...], bool]:
    """Return the causes, and whether they are all as the database has them.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    most = set(heapq.nsmallest(_MOST, counts.causes, key=lambda cause: (-counts.causes[cause], cause)))
    found = _examples(counts, most)
    names = store.records.images.by_number() if found else {}
    causes: list[tuple[tuple[int, int, str, str], BoardCause]] = []
    for cause, (image, nodes) in found.items():
        error_class, reason, error = read_error(store, nodes[0][0], instance, image)
        if cause_of(image, error_class, reason) != cause:  # it has changed meanwhile
            continue
        count = counts.causes[cause]
        index = columns.index(image)
        rank = (-count, len(columns.images) + image if index is None else index, error_class, reason)
        shown = BoardCause(
            image=names.get(image, ""),
            error_class=error_class,
            reason=reason,
            error=error,
            nodes=count,
            examples=tuple(name for _, name in nodes),
            is_final=counts.final.get(cause, 0) == count,
        )
        causes.append((rank, shown))
    causes.sort(key=lambda ranked: ranked[0])
    return tuple(shown for _, shown in causes), len(causes) == len(most)


def _examples(counts: BoardCounts, most: set[int]) -> dict[int, tuple[int, list[tuple[int, str]]]]:
    """Return the image of each cause, and numbers and names of the first nodes."""
    found: dict[int, tuple[int, list[tuple[int, str]]]] = {}
    wanted = {cause: min(_EXAMPLES, counts.causes[cause]) for cause in most}
    for number in sorted(counts.failing):
        if not wanted:
            break
        states = counts.failing[number]
        for failure in states.failures:
            if failure.cause in wanted:
                _, nodes = found.setdefault(failure.cause, (failure.image, []))
                nodes.append((number, states.view.node))
                if len(nodes) == wanted[failure.cause]:
                    del wanted[failure.cause]
    return found
