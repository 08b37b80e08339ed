"""Reports what the node object says about where the node belongs, when somebody has read it."""

from nodeprefetch.emitter import Reader
from nodeprefetch.events import NodeDescribed
from nodeprefetch.kube import Node
from nodeprefetch.values.timestamp import parse_timestamp

ZONE_LABEL = "topology.kubernetes.io/zone"

POOL_LABELS = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
    "karpenter.sh/nodepool",
    "node.kubernetes.io/instance-type",
)
"""The first one that a node has names its pool. The last is no pool, but nodes with it are alike."""

_LONGEST = 63
"""Characters of a label's value. The aggregator refuses what is much longer."""


class NodeDescription:
    """Emits `NodeDescribed` for the first node object that it is given.

    Args:
        emit: takes the event.
    """

    def __init__(self, emit: Reader) -> None:
        self._emit: Reader | None = emit

    def take(self, node: Node) -> None:
        """Take the node of this run, as it was read."""
        emit, self._emit = self._emit, None
        if emit is not None:
            emit(describe(node))


def describe(node: Node) -> NodeDescribed:
    """Return the event about a node."""
    pools = (node.labels.get(label, "") for label in POOL_LABELS)
    return NodeDescribed(
        zone=node.labels.get(ZONE_LABEL, "")[:_LONGEST],
        pool=next(filter(None, pools), "")[:_LONGEST],
        created=max(parse_timestamp(node.creation_timestamp) or 0, 0),
    )
