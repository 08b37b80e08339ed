"""The flags of the commands, each declared once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from nodeprefetch.cli.across_flags import AcrossNodesFlags
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
from nodeprefetch.cli.gate_flags import GateFlags

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
    runtime_handler: Annotated[
        str | None,
        flag("Runtime handler to pull for, as a RuntimeClass names it (containerd 2.3+).", "NAME", group=RUNTIME),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FetchFlags(GateFlags, AcrossNodesFlags, ImageFlags):
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
        str | None,
        duration(
            "Timeout of the first attempt; doubles after each attempt. Default: 30s, or 5m where the runtime neither"
            " reports progress nor keeps the bytes of a cancelled pull.",
            TIMEOUTS,
        ),
    ] = None
    max_pull_attempt_timeout: Annotated[
        str | None, duration("Maximum attempt timeout. Default: 5m, or 20m there.", TIMEOUTS)
    ] = None
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
    crio_download_dir: Annotated[
        str | None,
        flag(
            "Directory where CRI-O of this node keeps what it downloads (/var/tmp), which shows progress. Default:"
            " /run/nodeprefetch/crio-downloads, if mounted.",
            "DIR",
            group=RUNTIME,
        ),
    ] = None
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
    node_label_prefix: Annotated[
        str, flag("Prefix of the node's label, annotation and condition.", "PREFIX", group=REPORTING)
    ] = "nodeprefetch.io"
    no_events: Annotated[bool, switch("Create no events about the node.", group=REPORTING)] = False
    kubeconfig: Annotated[
        str | None,
        flag("Kubeconfig used to update the node. Default: in-cluster configuration.", "FILE", group=REPORTING),
    ] = None
    node_access: Annotated[
        Literal["direct", "impersonate"],
        flag(
            "Access to the node: with the service account's own permissions (direct), or acting as the node itself"
            " (impersonate, Kubernetes 1.36 or newer).",
            group=REPORTING,
        ),
    ] = "direct"
    report_grace: Annotated[
        str, duration("Time allowed after the run to deliver results and update the node.", REPORTING)
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
    """When to pull again, and how to show that there is no need to."""

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
    report_every: Annotated[
        str,
        duration(
            "Interval between reports of all images to the aggregator and the node's condition, also if nothing has"
            " changed.",
            SCHEDULE,
        ),
    ] = "1h"
    ready_address: Annotated[
        str | None,
        flag(
            "Address to listen on while every image is on the node, for a readiness probe: HOST:PORT or :PORT.",
            "ADDRESS",
            group=REPORTING,
        ),
    ] = None


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
