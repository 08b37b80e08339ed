"""Makes boards for tests of the page."""

from collections import Counter
from collections.abc import Iterable

from nodeprefetch.board import Board, BoardCause, BoardImage, BoardNode, BoardSummary

NOW = 1_800_000_000.0
GIB = 1 << 30


def board_of(
    *nodes: BoardNode, images: Iterable[str | BoardImage], causes: Iterable[BoardCause] = (), **summary: int
) -> Board:
    """A board of one instance, `main`."""
    return Board(
        at=NOW,
        instance="main",
        instances=("main",),
        summary=summary_of(nodes, **summary),
        images=tuple(each if isinstance(each, BoardImage) else BoardImage(image=each, size=GIB) for each in images),
        nodes=nodes,
        causes=tuple(causes),
    )


def summary_of(nodes: Iterable[BoardNode], **summary: int) -> BoardSummary:
    """Counts these nodes."""
    return BoardSummary(nodes=dict(Counter(node.state for node in nodes)), **summary)


def node(name: str, cells: str, state: str = "", **more: object) -> BoardNode:
    """A node; its state is that of its worst cell unless given."""
    worst = next((state for cell, state in _STATES.items() if cell in cells), "present")
    return BoardNode(node=name, cells=cells, state=state or worst, heard=NOW, **more)  # type: ignore[arg-type]


_STATES = {"f": "failed", "p": "pulling", "w": "waiting", "s": "succeeded"}
