"""Events on their way to an aggregator."""

import msgspec

from nodeprefetch.events import (
    AttemptFinished,
    AttemptStarted,
    CredentialsMatched,
    GateOpened,
    ImageFinished,
    ImagesListed,
    ListRejected,
    NodeConditionSet,
    NodeDescribed,
    NodeLabelled,
    Notice,
    Progress,
    PullsPaused,
    PullsResumed,
    RegistryThrottled,
    RetryPlanned,
    RunFinished,
    RunStarted,
    RuntimeLost,
    RuntimeReturned,
    StartAllowed,
    StartDelayed,
    TagMoved,
    TaintsRemoved,
)

AnyEvent = (
    RunStarted
    | ListRejected
    | NodeDescribed
    | StartDelayed
    | StartAllowed
    | AttemptStarted
    | AttemptFinished
    | TagMoved
    | Progress
    | CredentialsMatched
    | RetryPlanned
    | RuntimeLost
    | RuntimeReturned
    | RegistryThrottled
    | PullsPaused
    | PullsResumed
    | ImageFinished
    | ImagesListed
    | Notice
    | NodeLabelled
    | GateOpened
    | TaintsRemoved
    | NodeConditionSet
    | RunFinished
)
"""Any event, for decoders; the tag tells them apart."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Events of one run, sent to an aggregator as msgpack or JSON. A batch may arrive more than once."""

    run_id: str
    node: str
    """Name of the node."""

    version: str
    """Version of nodeprefetch."""

    events: tuple[AnyEvent, ...]
    instance: str = ""
