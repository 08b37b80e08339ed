"""Whose directories are whose: whatever others do, a pull that moves is seen to move, and bytes are never another's."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.pull.directories import Downloads
from nodeprefetch.runtime.download_dirs import Blob, DirectoriesSeen

Step = tuple[str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["call", "call", "grow", "grow", "grow", "look", "end", "foreign", "foreign grows", "foreign ends"]
        ),
        st.integers(0, 5),
    ),
    max_size=60,
)  # fmt: skip


@dataclass
class Node:
    """A node with CRI-O: our pulls and those of others."""

    has_others: bool
    sizes: dict[str, int] = field(default_factory=dict)
    """By directory."""

    own: dict[str, str] = field(default_factory=dict)
    """Directory of each of our pulls."""

    grown: set[str] = field(default_factory=set)
    """Directories that have appeared or grown since the last look."""

    state: Downloads = field(default_factory=lambda: Downloads(unpack_timeout=600))
    made: int = 0
    time: float = 0

    @property
    def others(self) -> list[str]:
        return sorted(self.sizes.keys() - set(self.own.values()))

    def make(self) -> str:
        self.made += 1
        self.sizes[name := f"d{self.made}"] = 0
        self.grown.add(name)
        return name

    def grow(self, names: list[str], which: int) -> None:
        if names:
            self.sizes[name := names[which % len(names)]] += 10
            self.grown.add(name)

    def look(self) -> None:
        """Look, and hold what is seen to what is true."""
        self.time += 1
        since = self.state.looks
        blobs = {name: {"1": Blob(size=size)} for name, size in self.sizes.items()}
        self.state = self.state.update(DirectoriesSeen(directories=blobs), self.time)
        for pull, directory in self.own.items():
            seen = self.state.seen(pull, since=since)
            assert seen.moved or directory not in self.grown, "moves, and is not seen to"
            assert seen.sight.done <= self.sizes[directory], "shows bytes of another"
            if not self.has_others:
                assert seen.moved == (directory in self.grown), "moves by another's movement"
                assert seen.sight.done == self.sizes[directory]
        self.grown.clear()

    def call(self, which: int) -> None:
        """Call, as `DirectoryProgress` does: until the directory is there, and a look more."""
        self.look()
        pull = f"p{self.made}"
        self.state = self.state.begin(pull)
        if which % 3 == 1 and self.has_others:
            self.make()
        self.own[pull] = self.make()
        self.look()
        if which % 3 == 2 and self.has_others:
            self.make()
        self.look()
        self.state = self.state.settle()

    def take(self, step: Step) -> None:
        what, which = step
        match what:
            case "call":
                self.call(which)
            case "grow":
                self.grow(sorted(self.own.values()), which)
            case "look":
                self.look()
            case "end" if self.own:
                pull = sorted(self.own)[which % len(self.own)]
                self.state = self.state.end(pull)
                del self.sizes[self.own.pop(pull)]
            case "foreign" if self.has_others:
                self.make()
            case "foreign grows":
                self.grow(self.others, which)
            case "foreign ends" if self.others:
                del self.sizes[self.others[which % len(self.others)]]
            case _:
                pass


@pytest.mark.parametrize("has_others", [True, False])
@given(taken=steps)
def test_a_pull_that_moves_is_seen_to_move_whatever_others_do(taken: list[Step], *, has_others: bool):
    """Where nobody else pulls, each is seen by itself."""
    node = Node(has_others=has_others)
    for step in taken:
        node.take(step)
        node.grown &= node.sizes.keys()
    node.look()
