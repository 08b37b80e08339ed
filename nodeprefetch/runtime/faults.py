"""What can be wrong with a call to the runtime, and what to do about it: the classes of faults."""

import enum
from dataclasses import dataclass


class FaultClass(enum.Enum):
    """What trying again would bring. The values are what logs and reports say."""

    PASSING = "passing"
    """Trouble on the way or at the registry: the same request may succeed later."""

    PERMANENT = "permanent"
    """The same request cannot succeed. It is not repeated; a credential that was not used yet may still be tried."""

    REFUSED = "refused"
    """Not with this credential; another one may be let in, at once."""

    NO_SPACE = "no-space"
    """The node's disk is full. It may be emptied, so this passes too, but it is the node that needs help."""

    RUNTIME_GONE = "runtime-gone"
    """The runtime is not there, or not ready yet: nothing was said about the image."""


_OF_NETWORK_OR_NODE = frozenset({
    # the way to the registry
    "connection", "dns", "tls", "clock", "timeout", "stalled", "stream_reset", "cancelled", "protocol",
    # the node and its runtime
    "store_damaged", "content_gone", "lease_gone", "locked", "message_too_large", "unimplemented", "artifact",
    # the name that was asked for
    "bad_name",
})  # fmt: skip
"""Reasons that every credential would meet in the same way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault, classed."""

    kind: FaultClass

    reason: str
    """One word of a small set, for statistics: `not_found`, `rate_limited`, `dns` …"""

    missing: bool = False
    """The registry says that there is no such image. It may still be pushed, and some registries answer so to
    those who may not see the image: worth the next credential."""

    retries: int | None = None
    """How often a passing fault of this reason may repeat before it counts as permanent. None: no end."""

    patience: float | None = None
    """Seconds, from when an image first met this reason, for which a passing fault may repeat. None: no end."""

    doubts_kept: bool = False
    """What earlier attempts left on the node, such as a partial download, may have caused it."""

    spoils_kept: bool = False
    """What attempts left on the node is of no use to a later run: this is no image, and will not be one."""

    @property
    def may_continue_later(self) -> bool:
        """What attempts left is of use to a later run. On a full disk it only helps to fill it."""
        return self.kind is not FaultClass.NO_SPACE and not self.spoils_kept

    @property
    def spares_credentials(self) -> bool:
        """Surely the network's or the node's: another credential would meet it too.

        The kubelet tries its credentials one after the other whatever the error says. So do we, except here.
        """
        return self.kind in {FaultClass.NO_SPACE, FaultClass.RUNTIME_GONE} or self.reason in _OF_NETWORK_OR_NODE

    @property
    def hope(self) -> int:
        """How much trying again promises: of the faults of several credentials the one with the most counts.

        What waits for the runtime or the disk comes first, since nothing was said about the image.
        """
        match self.kind:
            case FaultClass.RUNTIME_GONE:
                return 6
            case FaultClass.NO_SPACE:
                return 5
            case FaultClass.PASSING:
                return 4 if self.retries is None and self.patience is None else 3
            case FaultClass.PERMANENT:
                return 2 if self.missing else 1
            case FaultClass.REFUSED:
                return 0
