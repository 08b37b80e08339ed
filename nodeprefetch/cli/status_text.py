"""Formats what `status` has found, as text. Pure functions."""

from collections.abc import Sequence

from nodeprefetch.cli.output import columns
from nodeprefetch.cluster.picture import Cause, NodePicture, NodeState, Picture, node_count
from nodeprefetch.text.printable import printable
from nodeprefetch.values.duration import format_age
from nodeprefetch.values.sizes import format_share, format_size

SHOWN_CAUSES = 10
"""Of an installation."""

SHOWN_EXAMPLES = 5
"""Nodes of a cause."""

_ORDER = (NodeState.FAILED, NodeState.UNSEEN, NodeState.PULLING, NodeState.WAITING, NodeState.WARM, NodeState.SKIPPED)
"""Nodes that need somebody come first."""

_NOTHING = "-"


def render_status(
    pictures: Sequence[Picture], now: float, *, with_nodes: bool = False, with_images: bool = False
) -> str:
    """Format pictures: one line for each installation, then what keeps nodes from being warm, and what to do.

    Args:
        pictures: of installations, in order.
        now: Unix seconds.
        with_nodes: list the nodes, those that need somebody first.
        with_images: list the images.
    """
    parts = [_overview(pictures, now)]
    for picture in pictures:
        parts.append(_details(picture))
        if with_nodes and (picture.nodes or picture.skipped):
            parts.append(_nodes(picture, now))
        if with_images:
            parts.append(_images(picture))
    return "\n\n".join(parts)


def _overview(pictures: Sequence[Picture], now: float) -> str:
    states = (NodeState.WARM, NodeState.PULLING, NodeState.WAITING, NodeState.FAILED, NodeState.UNSEEN)
    heads = [each.words.upper() for each in states]
    rows = [["NAMESPACE", "NAME", "NODES", *heads, "IMAGES", "SIZE", "LAST NEWS"]]
    for picture in pictures:
        counts = [str(picture.count(state)) for state in states]
        images = image_count(picture)
        rows.append(
            [
                picture.namespace,
                picture.name,
                str(len(picture.nodes)),
                *counts,
                str(images) if images else _NOTHING,
                format_size(sum(image.size for image in picture.images)) or _NOTHING,
                _age(picture.heard, now),
            ]
        )
    return columns(rows)


def image_count(picture: Picture) -> int:
    """Number of images of the list; 0: unknown."""
    if picture.list_images is not None:
        return len(picture.list_images)
    return max((node.images for node in picture.nodes), default=0)


def _details(picture: Picture) -> str:
    lines = [f"{picture.namespace}/{picture.name}, from {picture.source}:"]
    lines += [f"  note: {note}" for note in picture.notes]
    lines += [f"  the image list is invalid: {problem}" for problem in picture.list_problems]
    if picture.skipped:
        lines.append(f"  {picture.skipped_text}")
    if not picture.nodes:
        lines.append("  no other nodes" if picture.skipped else "  no nodes")
    elif picture.count(NodeState.WARM) == len(picture.nodes):
        lines.append(f"  all {'other ' if picture.skipped else ''}nodes are warm")
    for cause in picture.causes[:SHOWN_CAUSES]:
        lines += _cause(cause)
    if (more := len(picture.causes) - SHOWN_CAUSES) > 0:
        lines.append(f"  and {more} more cause{'s' if more > 1 else ''} (--output json has all)")
    return "\n".join(map(printable, lines))


def _cause(cause: Cause) -> list[str]:
    """What is wrong on how many nodes, the error, the nodes, and what to do."""
    kind = f"{cause.reason} ({cause.error_class})" if cause.error_class else cause.reason
    what = ": ".join(filter(None, (cause.image, kind)))
    return [
        f"  {node_count(cause.nodes)}: {what or cause.text}",
        *([f"    {cause.text}"] if what else []),
        f"    on {cause.names(SHOWN_EXAMPLES)}",
        *([f"    to do: {cause.advice}"] if cause.advice else []),
    ]


def _nodes(picture: Picture, now: float) -> str:
    rows = [["NODE", "STATE", "IMAGES", "BYTES", "LAST NEWS", "WHY"]]
    order = {state: place for place, state in enumerate(_ORDER)}
    for node in sorted((*picture.nodes, *picture.skipped), key=lambda each: (order[each.state], each.node)):
        images = f"{node.present}/{node.images}" if node.images else _NOTHING
        rows.append([node.node, node.state.value, images, _bytes(node), _age(node.heard, now), node.why])
    return columns(rows)


def _bytes(node: NodePicture) -> str:
    if node.state is not NodeState.PULLING or not (node.total_bytes or node.done_bytes):
        return _NOTHING
    return format_share(node.done_bytes, node.total_bytes)


def _images(picture: Picture) -> str:
    if not picture.images:
        return f"{printable(picture.namespace)}/{printable(picture.name)}: images are only known with an aggregator"
    rows = [["IMAGE", "SIZE", "ON NODES", "MISSING", "DIGESTS"]]
    rows += [
        [
            image.image,
            format_size(image.size) or _NOTHING,
            str(image.present),
            str(image.missing),
            str(image.digests) if image.digests else _NOTHING,
        ]
        for image in picture.images
    ]
    return columns(rows)


def _age(heard: float | None, now: float) -> str:
    return _NOTHING if heard is None else format_age(now - heard)
