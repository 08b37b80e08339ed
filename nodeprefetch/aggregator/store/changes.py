"""Which nodes have changed since the boards that show them last looked; see `board.py`."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Marks:
    """What has changed in one instance."""

    nodes: dict[int, bool] = field(default_factory=dict)
    """By the node's number: whether anything but the progress of pulls has changed."""

    is_all: bool = False
    """Anything may have changed, also what numbers stand for."""

    def take(self) -> "Marks":
        """Return the marks so far, and begin anew."""
        taken = Marks(self.nodes, self.is_all)
        self.nodes, self.is_all = {}, False
        return taken


class Changes:
    """Marks nodes of instances that somebody follows. A mark may be wrong, but no change is without one."""

    def __init__(self) -> None:
        self._followed: dict[int, list[Marks]] = {}

    def follow(self, instance: int) -> Marks:
        """Mark what changes in an instance from now on, by its number."""
        marks = Marks()
        self._followed.setdefault(instance, []).append(marks)
        return marks

    def unfollow(self, instance: int, marks: Marks) -> None:
        """Stop that."""
        kept = [each for each in self._followed.pop(instance, []) if each is not marks]
        if kept:
            self._followed[instance] = kept

    def mark(self, node: int, instance: int, *, is_progress: bool = False) -> None:
        """Mark a node.

        Args:
            node: its number.
            instance: its number.
            is_progress: nothing but the progress of pulls has changed, and when the node was heard of.
        """
        for marks in self._followed.get(instance, ()):
            marks.nodes[node] = marks.nodes.get(node, False) or not is_progress

    def mark_everywhere(self, node: int) -> None:
        """Mark a node in all instances."""
        for instance in self._followed:
            self.mark(node, instance)

    def mark_all(self) -> None:
        """Mark everything."""
        for followed in self._followed.values():
            for marks in followed:
                marks.is_all = True
