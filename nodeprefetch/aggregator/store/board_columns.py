"""The columns of a board: which images it shows, in which order, and how the cells of a node's own list become its."""

from collections.abc import Callable, Collection, Sequence
from operator import itemgetter

from nodeprefetch.board import UNLISTED

MOST = 1_000
"""Images that are shown: 10,000 nodes may have 10,000 images, each node others."""

_LISTS = 100
"""Different lists of nodes for which the way from their cells to the board's is kept."""


class Columns:
    """The images that a board shows.

    Args:
        listed: numbers of the images in the lists of nodes.
        newest: the newest list; its images come first, in its order. The others follow in the order of their arrival.
    """

    def __init__(self, listed: Collection[int] = (), newest: Sequence[int] = ()) -> None:
        first = dict.fromkeys(image for image in newest if image in listed)
        images = [*first, *sorted(image for image in listed if image not in first)]
        self.images = tuple(images[:MOST])
        self.left_out = len(images) - len(self.images)
        """Images that are not shown."""

        self._index = {image: index for index, image in enumerate(self.images)}
        self._ways: dict[tuple[int, ...], Callable[[str], tuple[str, ...]]] = {}

    def index(self, image: int) -> int | None:
        """Return the index of an image; None: it is not shown."""
        return self._index.get(image)

    def cells(self, images: tuple[int, ...], cells: str) -> str:
        """Return the cells of all columns.

        Args:
            images: numbers of the images in a node's list.
            cells: theirs.
        """
        if images == self.images:
            return cells
        way = self._ways.get(images)
        if way is None:
            if len(self._ways) >= _LISTS:
                self._ways.clear()
            at = {image: index for index, image in enumerate(images)}
            unlisted = len(images)
            indexes = [at.get(image, unlisted) for image in self.images]
            way = self._ways[images] = itemgetter(unlisted, *indexes)  # two or more, so that it returns a tuple
        return "".join(way(cells + UNLISTED)[1:])
