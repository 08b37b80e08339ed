"""Answers why a node is not warm: one diagnosis for each installation that has a pod there."""

import difflib
from collections.abc import Sequence
from functools import partial

import msgspec

from nodeprefetch.cluster.access import ClusterAccess
from nodeprefetch.cluster.diagnosis import Diagnosis
from nodeprefetch.cluster.examination import Place, examine
from nodeprefetch.cluster.installation import Installation, find_installations
from nodeprefetch.cluster.look import Observer
from nodeprefetch.cluster.picture import NodePicture, NodeState
from nodeprefetch.cluster.together import together
from nodeprefetch.errors import NoAccessError, UsageError
from nodeprefetch.kube import Node, NotFoundError
from nodeprefetch.values.image_ref import quote

_SIMILAR = 5
"""Names of nodes in an error."""


async def why(
    access: ClusterAccess,
    node: str,
    image: str | None = None,
    *,
    namespace: str | None = None,
    name: str | None = None,
    now: float,
) -> list[Diagnosis]:
    """Return a diagnosis for each installation on a node. If none has a pod there, one for each that there is.

    Args:
        access: the cluster.
        node: its name.
        image: name of an image, or its last parts; None: all that are not on the node.
        namespace: of the installations; None: all.
        name: of the installation; None: any.
        now: Unix seconds.

    Raises:
        UsageError: the node, the image or the installation does not exist.
        NoAccessError: a permission is missing without which nothing can be said. May be in an exception group.
        KubeError: the API server did not answer. The same.
    """
    installations = await find_installations(access, namespace, name)
    places = await together(partial(_look, access, each, node) for each in installations)
    node_object, note = await _read_node(access, node, places)
    places = [place for place in places if place.pod is not None] or places
    notes = (note,) if note else ()
    here = [msgspec.structs.replace(place, node_object=node_object, notes=notes) for place in places]
    answers = await together(partial(_examine, access, place, image, now) for place in here)
    diagnoses = [each for each in answers if isinstance(each, Diagnosis)]
    if not diagnoses:
        raise UsageError([problem for each in answers if isinstance(each, UsageError) for problem in each.problems])
    return diagnoses


async def _look(access: ClusterAccess, installation: Installation, node: str) -> Place:
    """Look at an installation, and find the node in it."""
    observer = Observer(access, installation)
    picture = await observer.look()
    here = next((each for each in (*picture.nodes, *picture.skipped) if each.node == node), None)
    pod = next((each for each in observer.pods if here and each.metadata.name == here.pod), None)
    absent = NodePicture(node=node, state=NodeState.UNSEEN, why="it has no pod on this node")
    return Place(installation=observer.installation, picture=picture, node=here or absent, pod=pod)


async def _examine(access: ClusterAccess, place: Place, image: str | None, now: float) -> Diagnosis | UsageError:
    """The diagnosis, or why there is none for that image: another installation may have it."""
    try:
        return await examine(access, place, image=image, now=now)
    except UsageError as error:
        return error


async def _read_node(access: ClusterAccess, name: str, places: Sequence[Place]) -> tuple[Node | None, str]:
    """Read the node; if that is not allowed, return a note that says so.

    Raises:
        UsageError: there is no such node.
    """
    try:
        return await access.kube.whole_node(name), ""
    except NoAccessError as refused:
        return None, f"conditions and taints of the node cannot be read: {refused.on_one_line}"
    except NotFoundError:
        try:
            names = [each.name for each in await access.kube.nodes()]
        except NoAccessError:
            names = list({node.node for place in places for node in _nodes(place)})
        raise _unknown_node(name, names) from None


def _nodes(place: Place) -> tuple[NodePicture, ...]:
    return (*place.picture.nodes, *place.picture.skipped)


def _unknown_node(name: str, names: Sequence[str]) -> UsageError:
    similar = difflib.get_close_matches(name, names, n=_SIMILAR)
    if similar:
        known = f"similar names: {', '.join(map(quote, similar))}"
    elif len(names) <= _SIMILAR:
        known = f"the nodes are {', '.join(map(quote, sorted(names)))}" if names else "there are no nodes"
    else:
        known = f"none of the {len(names)} nodes has a similar name"
    return UsageError([f"node {quote(name)} not found ({known})"])
