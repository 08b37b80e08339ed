"""The classes of faults: what can go wrong with a call to the runtime, and whether a retry helps."""

import enum

import msgspec


class FaultClass(enum.Enum):
    """What a retry would bring. The values appear in logs and reports."""

    PASSING = "passing"
    """Temporary: the same request may succeed later."""

    PERMANENT = "permanent"
    """The same request cannot succeed. It is not retried, except with credentials that were not used yet."""

    REFUSED = "refused"
    """Not with this credential; the next one may be accepted."""

    NO_SPACE = "no-space"
    """The disk of the node is full. Retried as well, as space may be freed, but the node needs help."""

    RUNTIME_GONE = "runtime-gone"
    """The runtime is unavailable or not ready yet. Says nothing about the image."""


FINAL = frozenset({FaultClass.PERMANENT.value, FaultClass.REFUSED.value, FaultClass.NO_SPACE.value})
"""Values of classes after which a node whose run has ended does not recover by itself."""

_OF_NETWORK_OR_NODE = frozenset({
    # the way to the registry
    "connection", "dns", "tls", "clock", "timeout", "stalled", "stream_reset", "cancelled", "protocol",
    # the node and its runtime
    "store_damaged", "content_gone", "lease_gone", "locked", "message_too_large", "unimplemented", "artifact",
    # the name that was asked for
    "bad_name",
})  # fmt: skip
"""Reasons that do not depend on the credential."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A classified error."""

    kind: FaultClass

    reason: str
    """One word for statistics: `not_found`, `rate_limited`, `dns` …"""

    missing: bool = False
    """The registry does not find the image. It may still be pushed, and some registries respond like this if the
    credential lacks permission, so the next one is tried."""

    retries: int | None = None
    """How often a passing fault is retried before it counts as permanent. None: no limit."""

    patience: float | None = None
    """Seconds for which a passing fault of this reason is retried, from its first time. None: no limit."""

    discards_partial: bool = False
    """A partial download of earlier attempts may be the cause, so it is discarded."""

    throttles: bool = False
    """The registry asks for fewer requests: 429, 503. All pulls from it slow down."""

    retry_after: float = 0.0
    """Seconds that it asks to wait, as far as its message says."""

    is_of_account: bool = False
    """Whether that holds for this credential alone, and not for the whole registry."""

    useless_partial: bool = False
    """A partial download is useless to later runs: this is not an image, and will not become one."""

    @property
    def keeps_partial(self) -> bool:
        """Whether to keep the partial download for a later run. On a full disk it would only take space."""
        return self.kind is not FaultClass.NO_SPACE and not self.useless_partial

    @property
    def skips_credentials(self) -> bool:
        """Whether the cause is the network or the node, so that other credentials would fail as well.

        The kubelet tries all its credentials whatever the error. So does nodeprefetch, with this exception.
        """
        return self.kind in {FaultClass.NO_SPACE, FaultClass.RUNTIME_GONE} or self.reason in _OF_NETWORK_OR_NODE

    @property
    def retry_rank(self) -> int:
        """How promising a retry is. Of the faults of several credentials, the highest rank counts.

        Waiting for the runtime or the disk ranks first, since these faults say nothing about the image.
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
