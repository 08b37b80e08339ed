"""What can be wrong with a call to the runtime, and what to do about it: the classes of faults."""

import enum
from dataclasses import dataclass


class FaultClass(enum.Enum):
    """What trying again would bring. The values are what logs and reports say."""

    PASSING = "passing"
    """Trouble on the way or at the registry: the same request may succeed later."""

    PERMANENT = "permanent"
    """The same request cannot succeed, whatever the credential."""

    REFUSED = "refused"
    """Not with this credential; another one may be let in, at once."""

    NO_SPACE = "no-space"
    """The node's disk is full. It may be emptied, so this passes too, but it is the node that needs help."""

    RUNTIME_GONE = "runtime-gone"
    """The runtime is not there, or not ready yet: nothing was said about the image."""


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
