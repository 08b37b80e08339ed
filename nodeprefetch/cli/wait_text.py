"""What `wait` says about what it sees, and how it ended. No I/O."""

from collections import Counter
from collections.abc import Sequence

from nodeprefetch.cli.output import columns
from nodeprefetch.cluster.goal import Goal, Impossible, Pending
from nodeprefetch.cluster.picture import Cause, NodePicture, NodeState, Picture, node_count
from nodeprefetch.cluster.waiting import End, Look
from nodeprefetch.text.printable import printable
from nodeprefetch.values.duration import format_duration
from nodeprefetch.values.sizes import format_rate, format_share, format_size

MOST_CAUSES = 5
"""Causes that are shown at once."""

MOST_EXAMPLES = 3
"""Names of nodes that are shown with a cause."""

MOST_NODES = 10
"""Names of nodes that are shown at the end."""

_STATES = (NodeState.PULLING, NodeState.WAITING, NodeState.FAILED, NodeState.UNSEEN)


def progress_text(look: Look, goal: Goal) -> str:
    """Nodes and bytes on one line."""
    return "; ".join(filter(None, [nodes_text(look, goal), bytes_text(look.picture)]))


def nodes_text(look: Look, goal: Goal) -> str:
    """`9 of 12 nodes warm (10 needed), 2 pulling, 1 failed`."""
    counts = look.verdict.counts
    needed = f" ({counts.needed} needed)" if counts.needed != counts.nodes else ""
    nodes = "node" if counts.nodes == 1 else "nodes"
    parts = [f"{counts.warm} of {counts.nodes} {nodes} {_goal_text(goal, counts.nodes)}{needed}"]
    states = Counter(node.state for node in counts.lacking)
    parts += [f"{states[state]} {state.replace('-', ' ')}" for state in _STATES if states[state]]
    final = sum(node.is_final for node in counts.lacking)
    parts[-1] += f" ({final} for good)" if final else ""
    parts += [f"{len(look.picture.skipped)} skipped"] if look.picture.skipped else []
    return ", ".join(parts)


def bytes_text(picture: Picture) -> str:
    """`3.1 of 9.6 GiB, 210.0 MiB/s, about 32s left`, or without a total; empty if nothing is known."""
    with_totals = [node for node in picture.nodes if node.total_bytes]
    done = sum(node.done_bytes for node in with_totals or picture.nodes)
    total = sum(node.total_bytes for node in picture.nodes)
    rate = sum(node.rate for node in picture.nodes)
    left = picture.seconds_left if picture.count(NodeState.PULLING) else None
    parts = [
        format_share(min(done, total), total) if total else format_size(done),
        format_rate(rate),
        f"about {format_duration(left)} left" if left is not None and left > 0 else "",
    ]
    return ", ".join(filter(None, parts))


def cause_text(cause: Cause) -> str:
    """`2 nodes: app:1: manifest unknown (n1, n2)`."""
    what = ": ".join(filter(None, [cause.image, cause.text]))
    names = cause.names(MOST_EXAMPLES)
    return f"{node_count(cause.nodes)}: {what}" + (f" ({names})" if names else "")


def ending(end: End | None, last: Look | None, trouble: str, *, name: str, goal: Goal, elapsed: float) -> str:
    """How waiting ended, in one line or more.

    Args:
        end: None: it was interrupted.
        last: the last that was seen.
        trouble: why nothing was seen since then; empty if there was none.
        name: of the installation.
        goal: what was waited for.
        elapsed: seconds since the beginning.
    """
    after = f"after {elapsed_text(elapsed)}"
    if last is None:
        head = "interrupted" if end is None else "timed out"
        lines = [f"{name}: {head} {after}: {trouble or 'no answer'}"]
    elif end is End.REACHED:
        counts = last.verdict.counts
        reached = f"{counts.warm} of {node_count(counts.nodes)} {_goal_text(goal, counts.nodes)}"
        lines = [f"{name}: {reached if counts.nodes else 'no node needs the images'} {after}"]
        lines += filter(None, [last.picture.skipped_text])
    elif end is End.GONE:
        lines = [f"{name} was deleted ({after}): {trouble}"]
    elif isinstance(last.verdict, Impossible):
        lines = _impossible(last, last.verdict, name, goal, after)
    else:
        head = "interrupted" if end is None else "timed out"
        lines = [f"{name}: {head} {after}: {progress_text(last, goal)}", *_missing(last)]
        lines += [f"no answer since {elapsed_text(last.elapsed)}: {trouble}"] if trouble else []
    return "\n".join(map(printable, lines))


def _impossible(last: Look, verdict: Impossible, name: str, goal: Goal, after: str) -> list[str]:
    lines = [f"{name} cannot become warm ({after}): {verdict.reason}", progress_text(last, goal)]
    for cause in verdict.causes[:MOST_CAUSES]:
        lines += [f"  {cause_text(cause)}", *([f"    {cause.advice}"] if cause.advice else [])]
    if len(verdict.causes) > MOST_CAUSES:
        lines.append(f"  and {len(verdict.causes) - MOST_CAUSES} more causes")
    if not verdict.causes:
        lines += _node_rows([node for node in verdict.counts.lacking if node.is_final])
    return lines


def _missing(last: Look) -> list[str]:
    """What is still missing: nodes and images."""
    lines = _node_rows(last.verdict.counts.lacking)
    missing = Counter(image for node in last.verdict.counts.lacking for image in node.missing or ())
    if missing:
        images = ", ".join(f"{image} (on {node_count(count)})" for image, count in missing.most_common(MOST_CAUSES))
        more = f" and {len(missing) - MOST_CAUSES} more" if len(missing) > MOST_CAUSES else ""
        lines.append(f"missing images: {images}{more}")
    lines += [cause_text(cause) for cause in last.picture.causes[:MOST_CAUSES]]
    notes = (*last.picture.notes, *(last.verdict.notes if isinstance(last.verdict, Pending) else ()))
    return lines + [f"note: {note}" for note in dict.fromkeys(notes)]


def _node_rows(nodes: Sequence[NodePicture]) -> list[str]:
    """The first nodes, failed ones first."""
    order = [NodeState.FAILED, NodeState.UNSEEN, NodeState.WAITING, NodeState.PULLING, NodeState.WARM]
    shown = sorted(nodes, key=lambda node: (order.index(node.state), node.node))[:MOST_NODES]
    rows = [(f"  {node.node}", node.state.words, _share(node), node.why) for node in shown]
    lines = columns(rows).split("\n") if rows else []
    return lines + ([f"  and {node_count(len(nodes) - len(shown))} more"] if len(nodes) > len(shown) else [])


def _share(node: NodePicture) -> str:
    return f"{node.present} of {node.images} images" if node.images else ""


def _goal_text(goal: Goal, nodes: int) -> str:
    if not goal.images:
        return "warm"
    have = "has" if nodes == 1 else "have"
    return f"{have} {goal.images[0]}" if len(goal.images) == 1 else f"{have} the {len(goal.images)} images"


def elapsed_text(seconds: float) -> str:
    """Whole seconds: `1m12s`."""
    return format_duration(round(seconds))
