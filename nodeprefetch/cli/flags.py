"""The flags of the commands, each declared once, and the settings they mean. Reports all problems at once."""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from nodeprefetch.cli.across_flags import AcrossNodesFlags
from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flag_kinds import (
    CREDENTIALS,
    DISK,
    IMAGES,
    OUTPUT,
    REPORTING,
    RUNTIME,
    SCHEDULE,
    TIMEOUTS,
    duration,
    flag,
    many,
    switch,
)
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.settings import AttemptClockKind, FetchSettings, PullPolicy
from nodeprefetch.values.duration import DurationError, parse_duration
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor, format_size, parse_disk_floor, parse_size

LOWEST_RATE = 256 * 1024
"""Bytes per second of `--max-download-rate`: below, what a pause loses is a large part of what comes between two."""

_NO_ENVIRONMENT = Environment()

Images = Annotated[
    str,
    Parameter(metavar="IMAGE", help="Images to pull in addition to those in the list files.", group=IMAGES),
]


CriSocket = Annotated[
    str | None,
    flag(
        "Socket of the container runtime. Default: $CONTAINER_RUNTIME_ENDPOINT, otherwise probe the well-known"
        " locations.",
        "PATH",
        group=RUNTIME,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CredentialFlags:
    """Options of credential plugins."""

    docker_config: Annotated[
        tuple[str, ...],
        many(
            "Pull secret: a .dockerconfigjson file or a directory of mounted Secrets. May be repeated.",
            "PATH",
            CREDENTIALS,
        ),
    ] = ()
    image_credential_provider_config: Annotated[
        str | None,
        flag("Configuration of the kubelet's credential providers: a file or a directory.", "PATH", group=CREDENTIALS),
    ] = None
    image_credential_provider_bin_dir: Annotated[
        str | None, flag("Directory containing the kubelet's credential provider binaries.", "DIR", group=CREDENTIALS)
    ] = None
    credential_option: Annotated[
        tuple[str, ...], many("Option of a credential plugin. May be repeated.", "NAME.KEY=VALUE", CREDENTIALS)
    ] = ()
    credential_order: Annotated[
        str | None,
        flag(
            "Comma-separated plugins to try first; the others follow by name, pull secrets last.",
            "NAMES",
            group=CREDENTIALS,
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ImageFlags(CredentialFlags):
    """Which images, and where."""

    image_list_file: Annotated[
        tuple[str, ...],
        Parameter(
            help="File with one image per line; '#' starts a comment; '-' reads standard input. May be repeated.",
            metavar="FILE",
            negative="",
            allow_leading_hyphen=True,
            show_default=False,
            group=IMAGES,
        ),
    ] = ()
    pull_policy: Annotated[
        Literal["IfNotPresent", "Always"] | None,
        flag(
            "Pull policy for all images. Default: Always for :latest or no tag, otherwise (and for digests)"
            " IfNotPresent.",
            group=IMAGES,
        ),
    ] = None
    cri_socket: CriSocket = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FetchFlags(AcrossNodesFlags, ImageFlags):
    """How to pull."""

    retry_missing: Annotated[bool, switch("Retry images the registry does not have yet.", group=IMAGES)] = False
    pin: Annotated[
        bool,
        switch(
            "Protect the images from the kubelet's image garbage collection (containerd 1.7 or newer).", group=IMAGES
        ),
    ] = False
    allow_failures: Annotated[bool, switch("Exit 0 even if some images could not be pulled.", group=IMAGES)] = False

    overall_timeout: Annotated[str, duration("Time limit for the whole run.", TIMEOUTS)] = "20m"
    initial_pull_attempt_timeout: Annotated[
        str, duration("Timeout of the first attempt; doubles after each attempt.", TIMEOUTS)
    ] = "30s"
    max_pull_attempt_timeout: Annotated[str, duration("Maximum attempt timeout.", TIMEOUTS)] = "5m"
    attempt_clock: Annotated[
        Literal["auto", "progress", "wall"],
        flag(
            "What the attempt timeout measures: time without progress ('progress'), elapsed time ('wall'), or"
            " progress where available ('auto').",
            group=TIMEOUTS,
        ),
    ] = "auto"
    initial_pull_attempt_delay: Annotated[
        str, duration("Maximum delay after the first attempt; doubles after each attempt.", TIMEOUTS)
    ] = "1s"
    max_pull_attempt_delay: Annotated[str, duration("Upper limit for that delay.", TIMEOUTS)] = "10m"
    unpack_timeout: Annotated[
        str, duration("Maximum time to unpack a single layer, where the runtime reports it.", TIMEOUTS)
    ] = "10m"
    image_list_timeout: Annotated[str, duration("Timeout for listing the node's images.", TIMEOUTS)] = "1m"

    max_parallel_pulls: Annotated[
        int | None,
        flag(
            "Number of parallel pulls; 0 for no limit. Default: 3 on containerd 2 and newer (2 with --no-yield or"
            " --no-resume), 2 with --max-download-rate, otherwise 8.",
            "N",
            group=RUNTIME,
        ),
    ] = None
    yield_: Annotated[
        bool | None,
        Parameter(
            name="--yield",
            negative="--no-yield",
            help="Pause pulls while the kubelet or another client pulls on this node (containerd); --no-yield disables"
            " it. Default: yes, unless --no-resume.",
            show_default=False,
            group=RUNTIME,
        ),
    ] = None
    max_download_rate: Annotated[
        str | None,
        flag(
            "Limit of all downloads on this node together, in bytes per second (50Mi), by pausing pulls in turn"
            " (containerd).",
            "SIZE",
            group=RUNTIME,
        ),
    ] = None
    max_io_pressure: Annotated[
        int | None,
        flag(
            "Start no pull while the node's I/O pressure (PSI, some avg10) is above this; at twice the value pulls in"
            " progress are paused too.",
            "PERCENT",
            group=RUNTIME,
        ),
    ] = None
    no_resume: Annotated[
        bool,
        switch("Disable resumable pulls: interrupted pulls start over and report no progress.", group=RUNTIME),
    ] = False
    runtime_wait: Annotated[str, duration("How long to wait for a container runtime to respond.", RUNTIME)] = "10s"

    min_free_disk: Annotated[
        str | None,
        flag(
            "Free space to keep on the image file system (10Gi, 15%); images that do not fit fail.",
            "AMOUNT",
            group=DISK,
        ),
    ] = None
    image_fs_path: Annotated[
        str | None, flag("Directory on the image file system, if it cannot be detected.", "DIR", group=DISK)
    ] = None

    metrics_endpoint: Annotated[
        str | None,
        flag("Aggregator to send results to: HOST:PORT or http(s)://HOST[:PORT][/PREFIX].", "URL", group=REPORTING),
    ] = None
    metrics_protocol: Annotated[
        Literal["auto", "http", "grpc"],
        flag("Aggregator protocol: http, grpc (stackrox/image-prefetcher), or auto-detect.", group=REPORTING),
    ] = "auto"
    metrics_ca_file: Annotated[
        str | None, flag("CA bundle (PEM) for https. Default: the system's.", "FILE", group=REPORTING)
    ] = None
    metrics_token_file: Annotated[
        str | None,
        flag("Bearer token for the aggregator; reloaded when the file changes.", "FILE", group=REPORTING),
    ] = None
    node_label_prefix: Annotated[str, flag("Prefix of the node's label and annotation.", "PREFIX", group=REPORTING)] = (
        "nodeprefetch.io"
    )
    kubeconfig: Annotated[
        str | None,
        flag("Kubeconfig used to label the node. Default: in-cluster configuration.", "FILE", group=REPORTING),
    ] = None
    report_grace: Annotated[
        str, duration("Time allowed after the run to deliver results and label the node.", REPORTING)
    ] = "15s"

    log_format: Annotated[
        Literal["logfmt", "json"] | None,
        flag("Log format. Default: live table on a terminal, otherwise logfmt.", group=OUTPUT),
    ] = None
    progress_interval: Annotated[str, duration("Interval between progress log lines; 0 disables them.", OUTPUT)] = "10s"
    debug: Annotated[
        bool,
        switch("Log the images on the node before and after, and the matching credentials.", group=OUTPUT),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class KeepFlags(FetchFlags):
    """When to pull again."""

    check_every: Annotated[
        str, duration("Interval between checks that all images are still on the node.", SCHEDULE)
    ] = "5m"
    refresh_every: Annotated[
        str,
        flag(
            "Interval between requests to the registries whether a tag with the policy Always has moved; 'never'"
            " disables them.",
            "DURATION",
            group=SCHEDULE,
        ),
    ] = "1h"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExplainFlags(ImageFlags):
    """How to explain."""

    ask_plugins: Annotated[
        bool,
        switch("Also ask credential plugins that run programs or contact servers.", group=CREDENTIALS),
    ] = False
    output: Annotated[Literal["table", "json"], flag("Output format.", group=OUTPUT)] = "table"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PluginFlags(CredentialFlags):
    """How to list plugins."""

    output: Annotated[Literal["table", "json"], flag("Output format.", group=OUTPUT)] = "table"


def read_seconds(flags: object, name: str, *, may_be_zero: bool = False) -> float:
    """Parse the value of a duration flag.

    Raises:
        UsageError: the value is invalid. The message names the flag.
    """
    option = "--" + name.replace("_", "-")
    try:
        value = parse_duration(getattr(flags, name))
    except DurationError as error:
        raise UsageError([f"{option}: {error}"]) from error
    if value == 0 and not may_be_zero:
        raise UsageError([f"{option}: must be greater than 0"])
    return value


def fetch_settings(flags: FetchFlags, environment: Environment = _NO_ENVIRONMENT) -> FetchSettings:
    """Convert the flags of `fetch` to settings.

    Raises:
        UsageError: names every flag with an invalid value.
    """
    problems = Problems()

    def seconds(name: str, *, may_be_zero: bool = False) -> float:
        with problems.collected():
            return read_seconds(flags, name, may_be_zero=may_be_zero)
        return 1  # not used: the problem is raised below

    def disk_floor() -> DiskFloor | None:
        try:
            return parse_disk_floor(flags.min_free_disk) if flags.min_free_disk else None
        except UsageError as error:
            problems.add(f"--min-free-disk: {error}")
            return None

    def download_rate() -> int | None:
        try:
            rate = parse_size(flags.max_download_rate) if flags.max_download_rate else None
        except UsageError as error:
            problems.add(f"--max-download-rate: {error}")
            return None
        if rate is not None and rate < LOWEST_RATE:
            problems.add(f"--max-download-rate: must be at least {format_size(LOWEST_RATE)} per second")
        if rate is not None and flags.no_resume:
            problems.add("--max-download-rate: needs resumable pulls (remove --no-resume)")
        return rate

    settings = FetchSettings(
        cri_socket=flags.cri_socket or None,
        runtime_wait=seconds("runtime_wait", may_be_zero=True),
        retry=RetryPolicy(
            initial_timeout=seconds("initial_pull_attempt_timeout"),
            max_timeout=seconds("max_pull_attempt_timeout"),
            initial_delay=seconds("initial_pull_attempt_delay", may_be_zero=True),
            max_delay=seconds("max_pull_attempt_delay", may_be_zero=True),
        ),
        attempt_clock=AttemptClockKind(flags.attempt_clock),
        resume=not flags.no_resume,
        unpack_timeout=seconds("unpack_timeout"),
        overall_timeout=seconds("overall_timeout"),
        image_list_timeout=seconds("image_list_timeout"),
        max_parallel_pulls=flags.max_parallel_pulls,
        yields=flags.yield_,
        max_download_rate=download_rate(),
        max_io_pressure=flags.max_io_pressure,
        pull_policy=PullPolicy(flags.pull_policy) if flags.pull_policy else None,
        retry_missing=flags.retry_missing,
        pin=flags.pin,
        min_free_disk=disk_floor(),
        image_fs_path=flags.image_fs_path or None,
        debug=flags.debug,
        node=environment.reporting_node,
        instance=environment.instance_name,
    )
    if flags.max_parallel_pulls is not None and flags.max_parallel_pulls < 0:
        problems.add("--max-parallel-pulls: must not be negative")
    if flags.max_io_pressure is not None and not 0 < flags.max_io_pressure < 100:  # noqa: PLR2004 - percent
        problems.add("--max-io-pressure: must be greater than 0 and less than 100")
    if flags.image_fs_path and not os.path.isdir(flags.image_fs_path):  # noqa: PTH112 - shown as given
        problems.add(f"--image-fs-path: directory not found: {flags.image_fs_path!r}")
    problems.raise_if_any()
    return settings
