"""Why a DaemonSet has no pod for a node: the rules of its controller, as far as labels and taints decide. Pure."""

from collections.abc import Iterator

from nodeprefetch.cluster.advice import PAGE
from nodeprefetch.cluster.installation import Installation
from nodeprefetch.cluster.obstacles import Obstacle
from nodeprefetch.kube import Node, Taint
from nodeprefetch.kube.read_objects import Toleration

_KEPT_OUT = {"NoSchedule", "NoExecute"}
"""Effects of taints that keep pods from a node."""

_ALWAYS_TOLERATED = {
    f"node.kubernetes.io/{name}"
    for name in (
        "disk-pressure",
        "memory-pressure",
        "network-unavailable",
        "not-ready",
        "pid-pressure",
        "unreachable",
        "unschedulable",
    )
}
"""Keys of taints for which the controller adds tolerations.
https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
"""


def unselected(installation: Installation, node: Node) -> Iterator[Obstacle]:
    """Yield each label that the node lacks, and each of its taints that the pods do not tolerate.

    Args:
        installation: without a pod on the node.
        node: as the API server has it.
    """
    for key, value in installation.node_selector.items():
        has = node.labels.get(key)
        if has != value:
            instead = "does not have that label" if has is None else f"has {key}={has}"
            text = f"the DaemonSet selects nodes with {key}={value}; the node {instead}"
            yield Obstacle(text=text, advice=f"check --node-selector ({PAGE}#no-pods-are-created)")
    for taint in node.taints:
        if _keeps_out(taint) and not any(_tolerates(each, taint) for each in installation.tolerations):
            text = f"the DaemonSet does not tolerate the node's taint {taint}"
            yield Obstacle(text=text, advice=f"check --toleration and --no-tolerate-all ({PAGE}#no-pods-are-created)")


def _keeps_out(taint: Taint) -> bool:
    return taint.effect in _KEPT_OUT and taint.key not in _ALWAYS_TOLERATED


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in {"", taint.effect}:
        return False
    if toleration.operator == "Exists":
        return toleration.key in {"", taint.key}
    return (toleration.key, toleration.value) == (taint.key, taint.value)
