"""What a node and the aggregator say about tickets: `POST /v1/tickets`, JSON in both directions."""

from enum import StrEnum

import msgspec

RENEW_INTERVAL = 10.0
"""Seconds after which a node that pulls says so again."""

LOST_AFTER = 60.0
"""Seconds of silence after which a ticket is lost."""


class TicketState(StrEnum):
    """What a node is doing."""

    WAITING = "waiting"
    """It wants a ticket, and waits for the answer."""

    PULLING = "pulling"
    """It pulls: with its ticket, or without one because nobody answered in time."""

    DONE = "done"
    """It does not pull any more, or has nothing to pull."""


class TicketRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node's request. It may arrive more than once."""

    node: str
    run_id: str
    """A later run of the node takes over the ticket."""

    state: TicketState
    instance: str = ""
    """Name of the installation (`INSTANCE_NAME`). A node holds one ticket of each."""

    list_digest: str = ""
    """Identifies the list of images: nodes that have another list are not warm for this one."""

    zone: str = ""
    """Of the node (`topology.kubernetes.io/zone`); empty: not known."""

    is_gated: bool = False
    """Whether the node takes no pods until its images are there. Such nodes come first."""

    is_warm: bool = False
    """With `done`: all images of the list are on the node."""

    wait: float = 0
    """With `waiting`: seconds that the aggregator may take for its answer."""


class TicketReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The aggregator's answer."""

    granted: bool = False
    """The node may pull."""

    ask_again: float = RENEW_INTERVAL
    """Seconds until the next request is expected."""

    position: int = 0
    """How many nodes are before it in the queue, as far as they are known."""

    pulling: int = 0
    """How many nodes of the instance pull."""

    limit: int | None = None
    """How many may; None: no limit."""
