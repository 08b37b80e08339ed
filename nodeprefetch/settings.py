"""Settings of a run: immutable, and valid once created."""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch.values.retry import RetryPolicy, Timeouts
from nodeprefetch.values.sizes import DiskFloor


class PullPolicy(StrEnum):
    """Whether to pull an image that is on the node, with the values of Kubernetes."""

    IF_NOT_PRESENT = "IfNotPresent"
    ALWAYS = "Always"


class LogFormat(StrEnum):
    """Format of log lines."""

    LOGFMT = "logfmt"
    JSON = "json"


class AttemptClockKind(StrEnum):
    """What the timeout of an attempt measures."""

    AUTO = "auto"
    """Time without progress where the runtime reports progress, otherwise elapsed time."""

    PROGRESS = "progress"
    """The same, with a warning if the runtime reports no progress."""

    WALL = "wall"
    """Elapsed time."""


def pull_policy(image: ImageRef, override: PullPolicy | None) -> PullPolicy:
    """Return the pull policy of an image.

    As in Kubernetes: Always for the tag `latest`, given or by default, otherwise IfNotPresent. With a digest the tag
    does not matter, as the digest identifies the image.
    """
    if override is not None:
        return override
    if image.digest is None and image.tag in {None, "latest"}:
        return PullPolicy.ALWAYS
    return PullPolicy.IF_NOT_PRESENT


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How `fetch` pulls. All times are seconds."""

    cri_socket: str | None = None
    """Path of the CRI socket; None: probe the well-known locations."""

    runtime_handler: str = ""
    """Runtime handler to pull for; empty: the runtime's default."""

    runtime_wait: float = 10
    """How long to wait for a runtime to respond: on a booting node it may start after us."""

    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    """Timeouts of attempts and delays after them."""

    unseen_retry: RetryPolicy | None = None
    """Timeouts of attempts whose progress is not visible and whose bytes nobody keeps, such as those on CRI-O without
    its download directories; None: those of `retry`, whose delays always count."""

    attempt_clock: AttemptClockKind = AttemptClockKind.AUTO
    crio_download_dir: str | None = None
    """Directory that contains the download directories of CRI-O, on which progress depends there; None: the
    well-known one, where manifests mount it."""

    resume: bool = True
    """Pull with leases where the runtime supports them, so that interrupted pulls can resume."""

    unpack_timeout: float = 10 * 60
    """Maximum time to unpack a single layer, where the runtime reports it."""

    overall_timeout: float = 20 * 60
    """Time limit for the whole run, from its start."""

    image_list_timeout: float = 60
    """Timeout of a ListImages call."""

    max_parallel_pulls: int | None = None
    """Number of parallel pulls; 0: no limit; None: depends on the runtime, as measured in
    docs/adr/0013-max-parallel-pulls.md."""

    yields: bool | None = None
    """Pause pulls while somebody else pulls on this node; None: the same, without a notice where none is visible."""

    max_download_rate: int | None = None
    """Bytes per second that all downloads of the node may bring together; None: no limit. Needs containerd's API."""

    max_io_pressure: float | None = None
    """Percent of time in which tasks wait for a disk (PSI), above which no pull starts; None: not looked at."""

    pull_policy: PullPolicy | None = None
    """None: depends on the tag of each image, as in Kubernetes."""

    keeps_present: bool = False
    """An image that is on the node stays present if the registry cannot be asked whether its tag has moved. It is asked
    once."""

    report_every: float = 0
    """Time between runs that report, also if nothing has changed; 0: there may be none."""

    retry_missing: bool = False
    """Retry images the registry does not have yet."""

    pin: bool = False
    """Protect the images from the kubelet's image garbage collection, where the runtime supports it."""

    min_free_disk: DiskFloor | None = None
    """Free space to keep on the image file system; None: not checked."""

    image_fs_path: str | None = None
    """Directory on the image file system; None: as the runtime reports it, or the root of our container if that is on
    the same file system."""

    debug: bool = False
    """Log the images on the node before and after."""

    node: str = ""
    """Name of this node, in events."""

    instance: str = ""
    """Name of this installation."""

    def rounds(self) -> Iterator[tuple[Timeouts, float]]:
        """Yield for each round of attempts, forever, their timeouts and the maximum delay after them."""
        unseen = (self.unseen_retry or self.retry).rounds()
        for one, other in zip(self.retry.rounds(), unseen, strict=False):
            yield Timeouts(one.timeout, other.timeout), one.max_delay
