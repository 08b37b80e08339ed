"""What keeps a node from being warm, or from taking pods, other than an image that fails. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from nodeprefetch.cluster.advice import PAGE
from nodeprefetch.cluster.pod_trouble import pod_troubles
from nodeprefetch.errors import UsageError
from nodeprefetch.kube import Condition, Node
from nodeprefetch.kube.read_objects import Pod
from nodeprefetch.report.condition_state import FALSE, GAVE_UP, LIST_INVALID, TRUE
from nodeprefetch.text.scrub import scrub
from nodeprefetch.values.taint import NamedTaint, parse_taint

_HEALTHY = {"Ready": TRUE}
"""Status of conditions that a healthy node has. Those of the next set are False on it."""

_PRESSURES = {
    "DiskPressure": f"free disk space on the node ({PAGE}#the-disk-is-full)",
    "MemoryPressure": "free memory on the node",
    "PIDPressure": "end processes on the node",
    "NetworkUnavailable": "check the node's network plugin",
}
"""Conditions that a healthy node does not have, and what to do about them."""

CORRECT_LIST = f"correct the image list ({PAGE}#image-lists)"

_LABEL_SECTION = f"{PAGE}#label-condition-and-events-of-the-node"


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is in the way."""

    text: str
    """One line without secrets."""

    advice: str = ""
    """What to do, one line; may be empty."""


def of_pod(pod: Pod, now: float) -> Iterator[Obstacle]:
    """Yield what is wrong with the pod.

    Args:
        pod: of the DaemonSet, on the node.
        now: Unix seconds.
    """
    for trouble in pod_troubles(pod, now):
        detail = f", {trouble.detail}" if trouble.detail else ""
        yield Obstacle(text=f"pod {pod.metadata.name}: {trouble.text}{detail}", advice=trouble.advice)


def of_node(
    node: Node, own_condition: str, startup_taints: Iterable[str], *, is_warm: bool = False
) -> Iterator[Obstacle]:
    """Yield what is wrong with the node itself, and what keeps it closed for pods.

    Args:
        node: as the API server has it.
        own_condition: type of the installation's condition.
        startup_taints: those that the installation removes, as its flags name them.
        is_warm: all images are on the node, so that the taints should be gone.
    """
    for condition in node.conditions:
        if condition.status != _HEALTHY.get(condition.type, condition.status):
            yield Obstacle(text=_condition_text(condition), advice="check the kubelet and the network of the node")
        elif condition.type in _PRESSURES and condition.status != FALSE:
            yield Obstacle(text=_condition_text(condition), advice=_PRESSURES[condition.type])
        elif condition.type == own_condition and (condition.status != TRUE or condition.reason == GAVE_UP):
            is_list = condition.reason == LIST_INVALID
            yield Obstacle(text=_condition_text(condition), advice=CORRECT_LIST if is_list else "")
    for taint in node.taints:
        if any(named.names(key=taint.key, value=taint.value, effect=taint.effect) for named in _parsed(startup_taints)):
            advice = f"read the pod's log, which says why the taint is left ({_LABEL_SECTION})" if is_warm else ""
            yield Obstacle(text=f"the startup taint {taint} is still on the node", advice=advice)


def of_tickets(counts: Mapping[str, int]) -> Iterator[Obstacle]:
    """Yield that nodes wait for their turn, for a node that has not begun.

    Args:
        counts: `tickets` of the installation in the aggregator's status.
    """
    if counts.get("waiting"):
        text = f"{counts['waiting']} nodes wait for a ticket while {counts.get('pulling', 0)} pull"
        yield Obstacle(text=text, advice="wait, or let more nodes pull at once (docs/scale.md#tickets)")


def _condition_text(condition: Condition) -> str:
    since = f" since {condition.last_transition_time}" if condition.last_transition_time else ""
    why = ": ".join(filter(None, (condition.reason, condition.message)))
    return scrub(f"node condition {condition.type} is {condition.status}{since}{f': {why}' if why else ''}")


def _parsed(taints: Iterable[str]) -> Iterator[NamedTaint]:
    for taint in taints:
        try:
            yield parse_taint(taint)
        except UsageError:  # the pod itself reports it, and ends with exit code 2
            continue
