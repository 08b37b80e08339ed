"""Examines an installation on one node: asks the aggregator, reads the pod's log and the node."""

from collections.abc import Iterator

import msgspec

from nodeprefetch.cluster import obstacles
from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.board_source import BoardSource
from nodeprefetch.cluster.diagnosis import Diagnosis, Evidence, diagnose
from nodeprefetch.cluster.image_match import find_image, unknown_image
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.cluster.logged import Logged, read_pod_log
from nodeprefetch.cluster.look import NODES
from nodeprefetch.cluster.obstacles import Obstacle
from nodeprefetch.cluster.picture import NodePicture, NodeState, Picture
from nodeprefetch.cluster.pod_log import logged_attempts, logged_images, shown_lines
from nodeprefetch.cluster.pod_trouble import pod_troubles
from nodeprefetch.cluster.pods import IMAGES_MISSING
from nodeprefetch.cluster.reported import Reported, ask_aggregator
from nodeprefetch.cluster.selection import unselected
from nodeprefetch.kube import Node
from nodeprefetch.kube.read_objects import Pod
from nodeprefetch.report.label_key import label_key

LOG_SHOWN = 20
"""Lines of the log."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An installation, and one node in it."""

    installation: Installation
    picture: Picture
    node: NodePicture
    pod: Pod | None = None
    """Of the installation, on that node; None: there is none."""

    node_object: Node | None = None
    """None: it cannot be read."""

    notes: tuple[str, ...] = ()


async def examine(access: ClusterAccess, place: Place, *, image: str | None, now: float) -> Diagnosis:
    """Say whether the node is warm for the installation, and if not, why.

    Args:
        access: the cluster.
        place: what is known already.
        image: name of an image, or its last parts; None: all that are not on the node.
        now: Unix seconds.

    Raises:
        UsageError: the list does not have that image, or several.
    """
    named = image and find_image(image, _listed(place.picture))
    reported = await _ask(access, place, named or None)
    blocked = [] if place.pod is None else list(obstacles.of_pod(place.pod, now))
    logged = Logged()
    if place.pod is not None and _is_log_wanted(place, reported, place.pod, now):
        logged = await read_pod_log(access, place.pod, place.installation.container)
    images = reported.images or logged_images(logged.lines)
    attempts = reported.attempts or logged_attempts(logged.lines, node=place.node.node)
    listed = _listed(place.picture) or tuple(dict.fromkeys([*images, *(each.image for each in attempts)]))
    if image:
        named = find_image(image, listed)
        if named is None:
            raise unknown_image(image, f"the list of {place.installation.name}", listed)
    evidence = Evidence(
        namespace=place.installation.namespace,
        name=place.installation.name,
        node=place.node,
        source=place.picture.source + (", and the pod's log" if logged.lines else ""),
        notes=(*place.picture.notes, *place.notes, *reported.notes, *logged.notes),
        listed=listed,
        images=images,
        attempts=attempts,
        has_older_attempts=reported.has_older_attempts,
        obstacles=(*blocked, *_other_obstacles(place, reported)),
        log=shown_lines(logged.lines, {named} if named else (), limit=LOG_SHOWN),
        log_of=logged.written_by,
        restarts_alone=place.installation.arguments is not None and place.installation.arguments.is_keep,
    )
    return diagnose(evidence, image=named or None, now=now)


async def _ask(access: ClusterAccess, place: Place, image: str | None) -> Reported:
    """Ask the aggregator, unless it has just not answered, or is not used for this installation."""
    if place.picture.source == NODES:
        return Reported()
    return await ask_aggregator(BoardSource(access), place.installation, place.node.node, image)


def _is_log_wanted(place: Place, reported: Reported, pod: Pod, now: float) -> bool:
    """Whether the log may say what the aggregator does not: it knows nothing, or the program ends for another cause."""
    if place.node.state in {NodeState.WARM, NodeState.SKIPPED}:
        return False
    codes = {trouble.exit_code for trouble in pod_troubles(pod, now) if trouble.is_blocking}
    return not reported.is_complete or bool(codes - {None, IMAGES_MISSING})


def _listed(picture: Picture) -> tuple[str, ...]:
    """The images of the list of now; if that is unknown, those that the aggregator knows."""
    return picture.list_images or tuple(each.image for each in picture.images)


def _other_obstacles(place: Place, reported: Reported) -> Iterator[Obstacle]:
    installation, node = place.installation, place.node
    if place.node_object is not None:
        arguments = installation.arguments
        yield from obstacles.of_node(
            place.node_object,
            label_key(installation.label_prefix, installation.instance),
            arguments.remove_taints if arguments else (),
            is_warm=node.state is NodeState.WARM,
        )
        if place.pod is None:
            yield from unselected(installation, place.node_object)
    for problem in place.picture.list_problems:
        yield Obstacle(text=f"the image list is invalid: {problem}", advice=obstacles.CORRECT_LIST)
    if node.state is NodeState.WAITING and not reported.attempts:
        yield from obstacles.of_tickets(reported.tickets)
