"""The progress of the pulls that a board shows, and how long they will take."""

import msgspec

from nodeprefetch.aggregator.store.board_columns import Columns
from nodeprefetch.aggregator.store.board_counts import BoardCounts
from nodeprefetch.aggregator.store.board_node import NodeStates
from nodeprefetch.aggregator.store.progress import LatestProgress
from nodeprefetch.board import WAITING, BoardNode


def with_progress(progress: LatestProgress, states: NodeStates, instance: int, columns: Columns) -> BoardNode:
    """Return what is shown of a node in the columns of a board, with the latest progress of its pulls.

    Args:
        progress: that of all nodes.
        states: of the node; those without totals are set in them.
        instance: the number of its instance.
        columns: of the board.
    """
    shares: dict[str, int] = {}
    done = so_far = total = rate = 0
    unsized = list[int]()
    for index, run in states.pulls:
        image = states.images[index]
        present, size, speed = progress.amounts((states.number, instance, image), run)
        rate += speed
        if not size:
            unsized.append(image)
            so_far += present
            continue
        present = min(present, size)
        done, total = done + present, total + size
        column = columns.index(image)
        if column is not None:
            shares[str(column)] = 100 * present // size
    if states.unsized != (now_unsized := tuple(unsized)):
        states.unsized, states.later = now_unsized, None
    return msgspec.structs.replace(
        states.view,
        cells=columns.cells(states.images, states.cells),
        shares=shares,
        final=_final(states, columns),
        done_bytes=done if total else so_far,
        total_bytes=total,
        rate=rate,
    )


def _final(states: NodeStates, columns: Columns) -> tuple[int, ...]:
    """The columns of the images that failed for good. A run that has not ended has not given up."""
    if not (states.failures and states.view.run_end):
        return ()
    found = (columns.index(each.image) for each in states.failures if each.is_final and each.is_for_good)
    return tuple(sorted(column for column in found if column is not None))


def seconds_left(counts: BoardCounts) -> int | None:
    """Return the seconds until the last of the nodes that pull is done; None: of no node the rate is known.

    What a node has left is the rest of its pulls, and the whole of the images that wait, or are pulled and have no
    totals yet, by the sizes that other nodes report; an image that no node has counts nothing. Nodes whose pulls are
    paused, or that wait for their turn, count nothing either; nor do those that report bytes and no totals (CRI-O,
    whose sizes of images are not what it downloads).
    """
    longest: int | None = None
    for states in counts.pulling.values():
        view = states.view
        if view.rate and (view.total_bytes or not view.done_bytes):
            if states.later is None:
                states.later = _later(states, counts.largest)
            seconds = (view.total_bytes - view.done_bytes + states.later) // view.rate
            longest = seconds if longest is None else max(longest, seconds)
    return longest


def _later(states: NodeStates, sizes: dict[int, int]) -> int:
    waiting = [image for image, cell in zip(states.images, states.cells, strict=True) if cell == WAITING]
    return sum(sizes.get(image, 0) for image in (*waiting, *states.unsized))
