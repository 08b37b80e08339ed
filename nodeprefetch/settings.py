"""What a run was told to do: frozen, and valid once it exists."""

from dataclasses import dataclass, field
from enum import StrEnum

from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor


class PullPolicy(StrEnum):
    """Whether an image that is there is pulled again, in Kubernetes' words."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"


class LogFormat(StrEnum):
    """How a log line is written."""

    LOGFMT = "logfmt"
    JSON = "json"


class AttemptClockKind(StrEnum):
    """What the limit of an attempt limits."""

    AUTO = "auto"
    """Time without progress where progress is seen, else time."""

    PROGRESS = "progress"
    """The same, with a warning where it is not seen."""

    WALL = "wall"
    """Time."""


def pull_policy(image: ImageRef, override: PullPolicy | None) -> PullPolicy:
    """The policy that holds for one image.

    As in Kubernetes: Always for the tag `latest`, written or meant, IfNotPresent for all others. A digest says
    exactly what is wanted, so that a tag beside it does not matter.
    """
    if override is not None:
        return override
    if image.digest is None and image.tag in {None, "latest"}:
        return PullPolicy.ALWAYS
    return PullPolicy.IF_NOT_PRESENT


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchSettings:
    """How `fetch` pulls. All times are seconds."""

    cri_socket: str | None = None
    """Path of the CRI socket; None: look where runtimes have theirs."""

    runtime_wait: float = 10
    """How long to look for a runtime that answers: on a booting node it may start after us."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """How long an attempt may take, and how long to wait after it."""

    attempt_clock: AttemptClockKind = AttemptClockKind.AUTO
    resume: bool = True
    """Pull with leases where the runtime has them, so that a pull that is cut goes on from where it was."""

    unpack_timeout: float = 10 * 60
    """How long an image may be unpacked without a layer being done, where that is seen."""

    overall_timeout: float = 20 * 60
    """The whole run, from its first moment."""

    image_list_timeout: float = 60
    """One ListImages call."""

    max_parallel_pulls: int | None = None
    """Images pulled at the same moment; 0: no limit; None: as many as the runtime can use.
    Measured: docs/adr/0013-max-parallel-pulls.md.."""

    pull_policy: PullPolicy | None = None
    """None: by the image's tag, as in Kubernetes."""

    retry_missing: bool = False
    """An image the registry does not know may still be pushed: try again."""

    pin: bool = False
    """Keep the kubelet from collecting the images of the list, where the runtime can."""

    min_free_disk: DiskFloor | None = None
    """What is to stay free of the file system of images; None: nothing is looked at."""

    image_fs_path: str | None = None
    """A directory on it; None: where the runtime says, or the root of our own container where that lies beside it."""

    debug: bool = False
    """List the runtime's images before and after."""

    node: str = ""
    """Name of this node, for those who read the events."""

    instance: str = ""
    """Name of this installation."""
