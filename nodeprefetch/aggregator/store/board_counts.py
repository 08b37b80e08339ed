"""What a board knows of all its nodes together: counted up and down as nodes change."""

from collections import Counter

from nodeprefetch.aggregator.store.board_node import ON_NODE, NodeStates

MOST = 50_000
"""Different digests, sizes and causes that are counted together; further ones are not."""


class BoundedCounts:
    """Counts of very many different things, up to `MOST`."""

    def __init__(self) -> None:
        self._distinct = 0
        self._counts: dict[int, dict[int, int]] = {}

    def of(self, image: int) -> dict[int, int]:
        """Return the counts of an image; must not be changed."""
        return self._counts.get(image, {})

    def add(self, image: int, key: int, by: int) -> None:
        """Count a thing of an image once more (1) or less (-1)."""
        counts = self._counts.get(image)
        known = counts.get(key, 0) if counts else 0
        if not known and (by < 0 or self._distinct >= MOST):
            return
        if counts is None:
            counts = self._counts[image] = {}
        if known + by:
            counts[key] = known + by
            self._distinct += not known
        else:
            del counts[key]
            self._distinct -= 1
            if not counts:
                del self._counts[image]


class BoardCounts:
    """The counts of a board."""

    def __init__(self) -> None:
        self.states = Counter[str]()
        """Nodes by state."""

        self.listed = Counter[int]()
        """Nodes whose list has an image, by its number."""

        self.missing = Counter[int]()
        """Nodes that lack an image of their list."""

        self.digests, self.sizes = BoundedCounts(), BoundedCounts()
        """Nodes by hashes of digests, and by sizes, for each image."""

        self.largest: dict[int, int] = {}
        """The largest size of each image, as of the latest `find_largest`."""

        self._resized = set[int]()

        self.causes: dict[int, int] = {}
        """Nodes by cause (`Failure.cause`)."""

        self.final: dict[int, int] = {}
        """Those of them that have given up."""

        self.pulling: dict[int, NodeStates] = {}
        """Nodes with pulls, by their numbers."""

        self.failing: dict[int, NodeStates] = {}
        """Nodes with failures, by their numbers."""

        self.columns_changed = self.images_changed = self.causes_changed = False
        """What has changed since the reader of these set it to False. Columns: which images are listed."""

    def replace(self, before: NodeStates | None, after: NodeStates | None) -> None:
        """Count a node as it is now, and no longer as it was before."""
        if before is not None:
            self.states[before.view.state] -= 1
        if after is not None:
            self.states[after.view.state] += 1
        if before is not None and after is not None and before.images == after.images:
            self._differ(before, after)
        else:
            self._count(before, -1)
            self._count(after, 1)
        self._fail(before, after)
        for nodes, is_in in (
            (self.failing, after is not None and after.failures),
            (self.pulling, after is not None and after.pulls),
        ):
            if after is not None and is_in:
                nodes[after.number] = after
            elif before is not None:
                nodes.pop(before.number, None)

    def find_largest(self) -> None:
        """Find the largest sizes of images. If one has changed, what nodes have left is to be summed up again."""
        found = {image: max(self.sizes.of(image), default=0) for image in self._resized}
        self._resized.clear()
        if not found.items() <= self.largest.items():
            self.largest |= found
            for states in self.pulling.values():
                states.later = None

    def _differ(self, before: NodeStates, after: NodeStates) -> None:
        if before.cells == after.cells and before.digests == after.digests and before.sizes == after.sizes:
            return
        for index, image in enumerate(after.images):
            was, now = before.cells[index] in ON_NODE, after.cells[index] in ON_NODE
            if was != now:
                self.missing[image] += 1 if was else -1
                self.images_changed = True
            self._have(image, before.digests[index], after.digests[index], self.digests)
            if before.sizes[index] != after.sizes[index]:
                self._have(image, before.sizes[index], after.sizes[index], self.sizes)
                self._resized.add(image)

    def _have(self, image: int, before: int, after: int, counts: BoundedCounts) -> None:
        if before != after:
            if before:
                counts.add(image, before, -1)
            if after:
                counts.add(image, after, 1)
            self.images_changed = True

    def _count(self, states: NodeStates | None, by: int) -> None:
        if states is None:
            return
        self.images_changed = True
        for image, cell, digest, size in zip(states.images, states.cells, states.digests, states.sizes, strict=True):
            listed = self.listed[image] + by
            if listed:
                self.listed[image] = listed
            else:
                del self.listed[image]
            self.columns_changed = self.columns_changed or listed == (1 if by > 0 else 0)
            if cell not in ON_NODE:
                self.missing[image] += by
            if digest:
                self.digests.add(image, digest, by)
            if size:
                self.sizes.add(image, size, by)
                self._resized.add(image)

    def _fail(self, before: NodeStates | None, after: NodeStates | None) -> None:
        failures = before.failures if before else ()
        now = after.failures if after else ()
        if failures != now:
            self.causes_changed = True
            for each in failures:
                self._cause(self.causes, each.cause, -1)
                if each.is_final:
                    self._cause(self.final, each.cause, -1)
            for each in now:
                self._cause(self.causes, each.cause, 1)
                if each.is_final:
                    self._cause(self.final, each.cause, 1)

    @staticmethod
    def _cause(counts: dict[int, int], key: int, by: int) -> None:
        known = counts.get(key, 0) + by
        if known > 0 and (key in counts or len(counts) < MOST):
            counts[key] = known
        elif known <= 0:
            counts.pop(key, None)
