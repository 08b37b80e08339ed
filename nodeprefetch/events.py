"""The events of a run: one tagged union (`batch.AnyEvent`), the same in the process and on the wire.

Everything that reports (log, live table, submitter, node label) is a reader of these events.
"""

import time
from enum import StrEnum

import msgspec

from nodeprefetch.settings import PullPolicy


class Outcome(StrEnum):
    """The state of an image. The last three are final."""

    WAITING = "waiting"
    PULLING = "pulling"
    SUCCEEDED = "succeeded"
    PRESENT = "present"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether it no longer changes in this run."""
        return self not in {Outcome.WAITING, Outcome.PULLING}


ON_NODE = frozenset({Outcome.SUCCEEDED, Outcome.PRESENT})
"""States of images that are on the node."""


class RunEnd(StrEnum):
    """Why a run ended."""

    FINISHED = "finished"
    """Every image has its final state."""

    TIMED_OUT = "timed-out"
    """The overall timeout was exceeded."""

    STOPPED = "stopped"
    """A signal stopped it."""

    NO_RUNTIME = "no-runtime"
    """No container runtime answered, or none that can do what was demanded, so nothing was pulled."""


class Phase(StrEnum):
    """The step that a pull is in, where the runtime shows it."""

    RESOLVING = "resolving"
    """The runtime asks the registry which image the name refers to."""

    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    """All bytes are on the node."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """Fields of all events."""

    at: float = msgspec.field(default_factory=time.time)
    """When it happened, Unix seconds. Never used to compute durations, as this clock may be set."""


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """The runtime answered, the run begins."""

    run_id: str
    node: str
    """`NODE_NAME`, or the host name."""

    version: str
    """Version of nodeprefetch."""

    runtime: str
    """Name and version of the container runtime: `containerd 1.6.20`."""

    socket: str
    images: tuple[str, ...]
    """As written by the user, in order, without duplicates."""

    instance: str = ""
    """Name of the installation (`INSTANCE_NAME`); may be empty."""

    report_every: float = 0
    """Seconds between runs of this node that report all images, also if nothing has changed; once up to half of that
    more. 0: there may be none."""

    is_warm: bool = False
    """The last run found all images, and has reported it. They count as present until this run finds otherwise."""

    list_digest: str = ""
    """Identifies the image list (`values.image_list.list_digest`); empty if unknown."""


class ListRejected(Event, frozen=True, kw_only=True, tag="list_rejected"):
    """The newest image lists are invalid or cannot be read, so `keep` uses the last valid ones in this run.

    Every run between the rejection and the mended lists says so, before anything else. A run that does not say so uses
    the newest lists.
    """

    problems: tuple[str, ...]
    """What is wrong with them, at least one line; each one line without secrets."""

    since: float
    """Unix seconds of the rejection."""


class NodeDescribed(Event, frozen=True, kw_only=True, tag="node_described"):
    """What the node object says about where the node belongs. At most once a run, when the object was read anyway.

    May come before `RunStarted` or after `RunFinished`. Nothing is read for it, so most runs of a warm node have none.
    """

    zone: str = ""
    """Label `topology.kubernetes.io/zone`; empty if there is none."""

    pool: str = ""
    """Node pool, as the cloud or Karpenter labels it; otherwise the instance type. Empty if there is neither."""

    created: float = 0
    """Unix seconds; 0 if unknown."""


class StartDelayed(Event, frozen=True, kw_only=True, tag="start_delayed"):
    """The first pull waits for a ticket or, where nobody answers, for this node's place in the spread."""

    ahead: int = 0
    """Nodes before this one in the queue for tickets."""

    pulling: int = 0
    """Nodes that pull."""

    limit: int = 0
    """How many nodes may."""

    starts_in: float = 0
    """Seconds until it starts without a ticket; 0: it waits for one."""

    error: str = ""
    """Why there is no answer about a ticket. One line without secrets."""


class StartAllowed(Event, frozen=True, kw_only=True, tag="start_allowed"):
    """The first pull starts after a delay."""

    after: float
    """Seconds that the run waited. They do not count toward the overall timeout."""

    has_ticket: bool = False


class AttemptStarted(Event, frozen=True, kw_only=True, tag="attempt_started"):
    """A PullImage call starts, with one credential and one timeout."""

    attempt_id: str
    image: str
    attempt: int
    """Counts from 1 for each image."""

    limit: float
    """Timeout in seconds: of the attempt or, where the runtime reports progress, without progress."""

    credential: str = ""
    """Source and key of the credential, never a secret; empty if anonymous."""

    is_present: bool = False
    """The image is on the node: the registry is asked whether its tag has moved."""


class AttemptFinished(Event, frozen=True, kw_only=True, tag="attempt_finished"):
    """A PullImage call ended."""

    attempt_id: str
    image: str
    attempt: int
    started_at: float
    """Unix seconds."""

    duration: float
    """Seconds."""

    limit: float
    paused: float = 0
    """Seconds of the duration in which it was paused (`PullsPaused`)."""

    credential: str = ""
    error: str = ""
    """Empty on success. One line without secrets."""

    error_class: str = ""
    """`passing`, `permanent`, `refused`, `no-space`, `runtime-gone` or `cancelled`; empty on success."""

    reason: str = ""
    """`not_found`, `unauthorized`, `timeout` (elapsed time), `stalled` (no progress) …; empty on success."""

    image_id: str = ""
    size: int = 0
    """Bytes as reported by the runtime (see `ImageRecord.size`); 0 if unknown."""

    digest: str = ""
    """Digest of the manifest or index; empty if unknown."""

    moved_from: str = ""
    """If this attempt has found that a tag has moved (`TagMoved`): the digest before. For protocols without events."""


class TagMoved(Event, frozen=True, kw_only=True, tag="tag_moved"):
    """A pull has found that a tag refers to another image than the one on the node, and has brought that.

    At most one for an image and run. None for the first pull of an image, and none if a digest is unknown.
    """

    image: str
    before: str
    """Digest of the manifest or index that the tag referred to on the node before the pull."""

    after: str
    """The same after the pull. Only the index may have changed, and not the image for this platform."""


class Progress(Event, frozen=True, kw_only=True, tag="progress"):
    """Progress of a pull: at most once per second and image, only after changes, and once when complete."""

    attempt_id: str
    image: str
    phase: Phase
    done_bytes: int = 0
    """Compressed bytes of layers on the node. Decreases only if the name now refers to another image."""

    total_bytes: int = 0
    """Compressed bytes of all layers; 0 if not known yet."""

    rate: int = 0
    """Bytes per second over the last ten seconds."""


class CredentialsMatched(Event, frozen=True, kw_only=True, tag="credentials_matched"):
    """The credentials that match an image, for `--debug`, after each round of attempts."""

    image: str
    credentials: tuple[str, ...]
    """Source, key and kind of each, in the order of the sources. Neither secrets nor user names."""

    complete: bool
    """False if a source did not answer."""


class RetryPlanned(Event, frozen=True, kw_only=True, tag="retry_planned"):
    """The next attempt for an image starts after a delay."""

    image: str
    delay: float
    """Seconds."""


class RuntimeLost(Event, frozen=True, kw_only=True, tag="runtime_lost"):
    """The container runtime is unavailable, pulls are paused."""

    error: str


class RuntimeReturned(Event, frozen=True, kw_only=True, tag="runtime_returned"):
    """The container runtime is available again, pulls continue."""

    after: float
    """Seconds without the runtime."""


class RegistryThrottled(Event, frozen=True, kw_only=True, tag="registry_throttled"):
    """A registry asked for fewer requests (429, 503), so its pulls pause and then go one at a time."""

    registry: str
    """The host with its port, as in the names of images."""

    seconds: float
    """For how long its pulls pause, or by how much that grew."""

    total: float
    """Seconds of all its pauses in this run so far: a batch that arrives twice counts once."""

    error: str = ""
    """Of the pull that was throttled. One line without secrets."""


class PullsPaused(Event, frozen=True, kw_only=True, tag="pulls_paused"):
    """Pulls are held back for the sake of others: no new one starts, or some in progress are paused, or both."""

    reason: str
    """`other-pull`: somebody else pulls an image on this node; `io-pressure`: its disks are busy;
    `download-rate`: the node's downloads have used up what they may bring in this period."""

    images: tuple[str, ...] = ()
    """Whose pulls are paused; empty: only new ones are held back."""

    detail: str = ""
    """What was seen. One line."""


class PullsResumed(Event, frozen=True, kw_only=True, tag="pulls_resumed"):
    """Pulls that were held back for this reason continue. Those that have another reason too stay paused."""

    reason: str
    after: float
    """Seconds since pulls were first held back for it."""

    images: tuple[str, ...] = ()
    """Whose pulls continue; empty: new ones start again."""

    ongoing: bool = False
    """Whether something is still held back for this reason."""


class ImageFinished(Event, frozen=True, kw_only=True, tag="image_finished"):
    """An image has its final state."""

    image: str
    outcome: Outcome
    policy: PullPolicy
    attempts: int
    elapsed: float
    """Seconds since the start of the run."""

    error: str = ""
    """Empty on success. With `present`: why the registry could not be asked whether the tag has moved."""

    error_class: str = ""
    reason: str = ""
    image_id: str = ""
    size: int = 0
    digest: str = ""


class ImagesListed(Event, frozen=True, kw_only=True, tag="images_listed"):
    """The names of all images on the node, for `--debug`."""

    when: str
    """`before` or `after` the pulls."""

    images: tuple[str, ...]
    error: str = ""


class Notice(Event, frozen=True, kw_only=True, tag="notice"):
    """A message that is not about one image, such as an optional feature that failed."""

    message: str
    is_warning: bool = True
    """False if it requires no action."""


class NodeLabelled(Event, frozen=True, kw_only=True, tag="node_labelled"):
    """Labelling the node succeeded or failed. May follow `RunFinished`."""

    key: str
    """`prefix/name`."""

    value: str = ""
    """`succeeded` or `failed`; empty if a stale label was removed."""

    error: str = ""
    """Empty on success. One line without secrets."""


class GateOpened(Event, frozen=True, kw_only=True, tag="gate_opened"):
    """The node may take pods (`--remove-taint`, `--node-condition`). May follow `RunFinished`.

    Says once that the images are there. Every run in which some are missing after the time is over says so.
    """

    after: float
    """Seconds since the pod's first run on this node."""

    gave_up: bool = False
    """Images are missing, but the time is over (`--gate-timeout`)."""

    missing: tuple[str, ...] = ()
    """With `gave_up`: the first of the missing images, as in the list. Empty also if no runtime has answered yet."""

    missing_count: int = 0
    """How many are missing."""

    error: str = ""
    """Why nobody has looked for them. One line without secrets."""


class TaintsRemoved(Event, frozen=True, kw_only=True, tag="taints_removed"):
    """The node's startup taints are gone, or removing them failed. May follow `RunFinished`."""

    taints: tuple[str, ...] = ()
    """Those removed, as `key=value:effect`; empty if there were none."""

    error: str = ""
    """Empty on success. One line without secrets."""


class NodeConditionSet(Event, frozen=True, kw_only=True, tag="node_condition_set"):
    """Setting a condition of the node succeeded or failed. May follow `RunFinished`."""

    type: str
    """`prefix/name`."""

    status: str
    """`True` or `False`."""

    reason: str
    """`ImagesPresent`, `Pulling`, `PullFailed`, `ListInvalid` …"""

    error: str = ""
    """Empty on success. One line without secrets."""


class RunFinished(Event, frozen=True, kw_only=True, tag="run_finished"):
    """The run has ended, and every image has its final state."""

    run_id: str
    end: RunEnd
    succeeded: int
    present: int
    failed: int
    elapsed: float
    """Seconds."""

    superseded: bool = False
    """It was stopped because the image list has changed; `keep` starts another run at once."""
