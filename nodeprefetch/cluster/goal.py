"""Decides whether an installation is as warm as was asked for, and whether it still can become so."""

import re
from collections.abc import Sequence

import msgspec

from nodeprefetch.cluster.image_match import pull_ref
from nodeprefetch.cluster.picture import Cause, NodePicture, NodeState, Picture
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.values.image_ref import ImageRef, ImageRefError, quote

_WHOLE = 100
_NODES = re.compile(r"([0-9]{1,9})(%?)", re.ASCII)


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """How many nodes must be warm, and which images they must have."""

    percent: int = _WHOLE
    """Of the nodes, rounded up; from 1 to 100."""

    count: int | None = None
    """Number of nodes; replaces `percent`. May be more than there are: clusters grow."""

    images: tuple[str, ...] = ()
    """Only these (`ImageRef.pull_ref`); empty: all images of the list."""

    def needed(self, nodes: int, *, skipped: int = 0) -> int:
        """Of that many nodes, how many must be warm. At least 1: an installation without nodes is not warm.

        Where all nodes are skipped, none needs the images: a share of none is none. So the first rollout of a workload,
        which runs nowhere yet, goes on.
        """
        if self.count is not None:
            return self.count
        return max(-(-nodes * self.percent // _WHOLE), 0 if skipped else 1)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict was made from."""

    warm: int
    """Nodes that have what was asked for."""

    needed: int
    nodes: int
    lacking: tuple[NodePicture, ...]
    """The nodes that do not have what was asked for."""


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """Enough nodes are warm."""

    counts: Counts


class Impossible(msgspec.Struct, frozen=True, kw_only=True):
    """Not enough nodes can become warm, unless somebody changes something."""

    counts: Counts
    reason: str
    """One line."""

    causes: tuple[Cause, ...] = ()


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """It may still come true."""

    counts: Counts
    notes: tuple[str, ...] = ()
    """What else it waits for, and what cannot be seen: one line each."""


Verdict = Reached | Impossible | Pending


def parse_goal(nodes: str, images: Sequence[str]) -> Goal:
    """Parse the flags `--nodes` and `--image`.

    Raises:
        UsageError: with all invalid values.
    """
    problems = Problems()
    form = _NODES.fullmatch(nodes.strip())
    number, is_percent = (int(form[1]), bool(form[2])) if form else (0, False)
    if form is None:
        problems.add(f"--nodes: invalid value {quote(nodes)} (expected a percentage such as 90% or a number of nodes)")
    elif is_percent and not 1 <= number <= _WHOLE:
        problems.add(f"--nodes: invalid percentage {quote(nodes)}: must be from 1% to 100%")
    elif number < 1:
        problems.add("--nodes: must be at least 1")
    refs: dict[str, None] = {}
    for image in images:
        try:
            refs[ImageRef.parse(image).pull_ref] = None
        except ImageRefError as error:
            problems.add(f"--image: {error}")
    problems.raise_if_any()
    return Goal(percent=number, images=tuple(refs)) if is_percent else Goal(count=number, images=tuple(refs))


def check_images(picture: Picture, goal: Goal) -> None:
    """Check that the images asked for are listed, if the list is known.

    Raises:
        UsageError: names all images that are not.
    """
    if not picture.list_problems and (unlisted := _unlisted(picture, goal)):
        raise UsageError([f"--image: {quote(image)} is not in the image list of {picture.name}" for image in unlisted])


def verdict(picture: Picture, goal: Goal) -> Verdict:
    """Decide. Only a settled picture can be `Reached`, or `Impossible` because of its nodes.

    - A number of nodes that exceeds those of now is never impossible: a cluster may grow.
    - An installation without nodes is `Pending`: nodes may be added. Skipped ones suffice, unless a number was
      asked for.
    - With `goal.images`, a node has failed only if one of these is among its `final_images`. Where images are
      unknown, it has not.
    """
    asked = _asked(picture, goal)
    lacking = tuple(node for node in picture.nodes if not _has(node, asked))
    needed = goal.needed(len(picture.nodes), skipped=len(picture.skipped))
    counts = Counts(warm=len(picture.nodes) - len(lacking), needed=needed, nodes=len(picture.nodes), lacking=lacking)
    if picture.list_problems:
        return Impossible(counts=counts, reason="the image list is invalid", causes=_list_causes(picture))
    if unlisted := _unlisted(picture, goal):
        names = ", ".join(map(quote, unlisted))
        return Impossible(counts=counts, reason=f"the image list does not contain {names} any more")
    if picture.is_settled and counts.warm >= needed:
        return Reached(counts=counts)
    failed = sum(_has_failed(node, asked) for node in lacking)
    if picture.is_settled and needed <= counts.nodes and counts.nodes - failed < needed:
        return Impossible(counts=counts, reason=_failures(failed, counts), causes=_final_causes(picture, asked))
    return Pending(counts=counts, notes=_notes(picture, goal, asked, counts))


def _asked(picture: Picture, goal: Goal) -> frozenset[str] | None:
    """The images asked for; None: all of the list."""
    asked = frozenset(goal.images)
    if not asked or (picture.list_images is not None and asked >= set(map(pull_ref, picture.list_images))):
        return None
    return asked


def _unlisted(picture: Picture, goal: Goal) -> list[str]:
    if picture.list_images is None:
        return []
    listed = set(map(pull_ref, picture.list_images))
    return [image for image in goal.images if image not in listed]


def _has(node: NodePicture, asked: frozenset[str] | None) -> bool:
    if node.state is NodeState.WARM:
        return True
    if asked is None or node.missing is None:
        return False
    return asked.isdisjoint(map(pull_ref, node.missing))


def _has_failed(node: NodePicture, asked: frozenset[str] | None) -> bool:
    """Whether it cannot come to have what is asked for."""
    if node.state is not NodeState.FAILED or not node.is_final:
        return False
    return asked is None or not asked.isdisjoint(map(pull_ref, node.final_images))


def _failures(failed: int, counts: Counts) -> str:
    nodes = "1 node has" if failed == 1 else f"{failed} nodes have"
    return f"{nodes} failed for good, {counts.nodes - counts.needed} of {counts.nodes} may"


def _list_causes(picture: Picture) -> tuple[Cause, ...]:
    """One for each problem of the list."""
    advice = "correct the list; nodes take no other one meanwhile"
    return tuple(
        Cause(text=problem, nodes=len(picture.nodes), examples=(), is_final=True, advice=advice)
        for problem in picture.list_problems
    )


def _final_causes(picture: Picture, asked: frozenset[str] | None) -> tuple[Cause, ...]:
    return tuple(
        cause for cause in picture.causes if cause.is_final and (asked is None or pull_ref(cause.image) in asked)
    )


def _notes(picture: Picture, goal: Goal, asked: frozenset[str] | None, counts: Counts) -> tuple[str, ...]:
    notes = []
    if not picture.is_settled:
        notes.append("the pods of the DaemonSet's newest version are not all there yet")
    if picture.skipped:
        notes.append(picture.skipped_text)
    if not picture.nodes and not picture.skipped:
        if picture.is_settled:  # otherwise nodes match, but have no pods yet
            notes.append("no node matches the DaemonSet; waiting for one")
    elif counts.needed > counts.nodes:
        what = "node matches" if counts.nodes == 1 else "nodes match"
        which = "the DaemonSet and run its pods" if picture.skipped else "the DaemonSet"
        notes.append(f"{counts.nodes} {what} {which}, {counts.needed} are needed; waiting for more")
    if goal.images and picture.list_images is None:
        notes.append("the image list cannot be read, so it is unknown whether it contains the images of --image")
    if asked and counts.lacking and all(node.missing is None for node in counts.lacking):
        notes.append("which images are on a node is unknown, so a node counts when it has all images of the list")
    return tuple(notes)
