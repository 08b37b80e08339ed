"""The command line's flags, declared once each, and how they become settings. All that is wrong is said at once."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.settings import AttemptClockKind, FetchSettings, PullPolicy
from nodeprefetch.values.duration import DurationError, parse_duration
from nodeprefetch.values.retry import RetryPolicy
from nodeprefetch.values.sizes import DiskFloor, parse_disk_floor

ENVIRONMENT_PREFIX = "NODEPREFETCH_"

Images = Annotated[str, Parameter(metavar="IMAGE", help="Image references, after those of the lists.")]


def flag(text: str, metavar: str | None = None) -> Parameter:
    """A flag with a value."""
    return Parameter(help=text, metavar=metavar, negative="")


def _many(text: str, metavar: str) -> Parameter:
    return Parameter(help=text, metavar=metavar, negative="", show_default=False)


def switch(text: str) -> Parameter:
    """A flag without one."""
    return Parameter(help=text, negative="", show_default=False)


def _duration(text: str) -> Parameter:
    """A Go-style duration. It is read later, to be reported with everything else that is wrong."""
    return Parameter(help=text, metavar="DURATION")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CredentialFlags:
    """What credential plugins are told."""

    docker_config: Annotated[
        tuple[str, ...],
        _many("File of type dockerconfigjson, or directory of mounted Secrets, with pull secrets. Repeatable.", "PATH"),
    ] = ()
    image_credential_provider_config: Annotated[
        str | None, flag("Configuration of the kubelet's credential providers: a file or a directory.", "PATH")
    ] = None
    image_credential_provider_bin_dir: Annotated[
        str | None, flag("Directory of the kubelet's credential provider programs.", "DIR")
    ] = None
    credential_option: Annotated[
        tuple[str, ...], _many("Option of a credential plugin. Repeatable.", "NAME.KEY=VALUE")
    ] = ()
    credential_order: Annotated[
        str | None,
        flag("Credential plugins that are used first, separated by commas; pull secrets are last by default.", "NAMES"),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ImageFlags(CredentialFlags):
    """Which images, and of which runtime."""

    image_list_file: Annotated[
        tuple[str, ...],
        Parameter(
            help="File with one image reference a line, # begins a comment; - is standard input. Repeatable.",
            metavar="FILE",
            negative="",
            allow_leading_hyphen=True,
            show_default=False,
        ),
    ] = ()
    pull_policy: Annotated[
        Literal["IfNotPresent", "Always"] | None,
        flag("Pull policy for all images; without it Always for the tag latest, IfNotPresent for all others."),
    ] = None
    cri_socket: Annotated[
        str | None,
        flag("Path of the container runtime's socket; without it the usual places are looked at.", "PATH"),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FetchFlags(ImageFlags):
    """How to pull."""

    runtime_wait: Annotated[str, _duration("How long to look for a runtime that answers.")] = "10s"
    overall_timeout: Annotated[str, _duration("Limit of the whole run.")] = "20m"
    attempt_clock: Annotated[
        Literal["auto", "progress", "wall"],
        flag("What an attempt's limit limits: time without progress, time (wall), or the former where it can be seen."),
    ] = "auto"
    initial_pull_attempt_timeout: Annotated[
        str, _duration("Limit of an image's first attempt; doubles with every attempt.")
    ] = "30s"
    max_pull_attempt_timeout: Annotated[str, _duration("What that limit grows to.")] = "5m"
    unpack_timeout: Annotated[
        str, _duration("How long an image may be unpacked without a layer being done, where that can be seen.")
    ] = "10m"
    no_resume: Annotated[
        bool, switch("Pull the plain way: a pull that is cut begins anew, and its progress is not seen.")
    ] = False
    initial_pull_attempt_delay: Annotated[
        str, _duration("Longest wait after an image's first attempt; doubles with every attempt.")
    ] = "1s"
    max_pull_attempt_delay: Annotated[str, _duration("What that wait grows to.")] = "10m"
    image_list_timeout: Annotated[str, _duration("Limit of listing the images that are there.")] = "1m"
    max_parallel_pulls: Annotated[
        int | None,
        flag("Number of parallel pulls; 0 for no limit. Default: 2 on containerd 2 and newer, otherwise 8.", "N"),
    ] = None
    retry_missing: Annotated[
        bool, switch("Try again when a registry does not know an image: it may still be pushed.")
    ] = False
    pin: Annotated[bool, switch("Pin the images against the kubelet's image collection; needs containerd 1.7.")] = False
    min_free_disk: Annotated[
        str | None,
        flag("What stays free of the disk that images are on: 10Gi, 15%. What does not fit fails.", "AMOUNT"),
    ] = None
    image_fs_path: Annotated[
        str | None,
        flag("A directory on that disk; without it where the runtime keeps images, or our own container.", "DIR"),
    ] = None
    allow_failures: Annotated[bool, switch("Exit with 0 also when an image is not present in the end.")] = False
    node_label_prefix: Annotated[str, flag("Prefix of the label and annotation on the node.", "PREFIX")] = (
        "nodeprefetch.io"
    )
    kubeconfig: Annotated[
        str | None, flag("How to reach the Kubernetes API for the node's label; without it as a pod does.", "FILE")
    ] = None
    metrics_endpoint: Annotated[
        str | None, flag("Aggregator that takes the results: HOST:PORT or http(s)://HOST[:PORT][/PREFIX].", "URL")
    ] = None
    metrics_protocol: Annotated[
        Literal["auto", "http", "grpc"],
        flag("What it speaks: ours (http), the older tool's (grpc), or whichever turns out."),
    ] = "auto"
    metrics_ca_file: Annotated[
        str | None, flag("Authorities to trust for https, PEM; without it the system's.", "FILE")
    ] = None
    metrics_token_file: Annotated[
        str | None, flag("Bearer token for the aggregator; read again when it changes.", "FILE")
    ] = None
    report_grace: Annotated[str, _duration("How long reporting may take after the run.")] = "15s"
    debug: Annotated[bool, switch("List the images the runtime holds before and after.")] = False
    log_format: Annotated[
        Literal["logfmt", "json"] | None,
        flag("How log lines are written; without it a live table on a terminal, logfmt elsewhere."),
    ] = None
    progress_interval: Annotated[str, _duration("How often the log tells how far a pull is; 0: never.")] = "10s"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExplainFlags(ImageFlags):
    """How to tell it."""

    ask_plugins: Annotated[bool, switch("Also ask credential plugins that run programs or ask servers.")] = False
    output: Annotated[Literal["table", "json"], flag("How to print it.")] = "table"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PluginFlags(CredentialFlags):
    """How to list them."""

    output: Annotated[Literal["table", "json"], flag("How to print it.")] = "table"


def read_seconds(flags: object, name: str, *, may_be_zero: bool = False) -> float:
    """The value of a flag that is a duration.

    Raises:
        UsageError: by the flag's name.
    """
    flag = "--" + name.replace("_", "-")
    try:
        value = parse_duration(getattr(flags, name))
    except DurationError as error:
        raise UsageError([f"{flag}: {error}"]) from error
    if value == 0 and not may_be_zero:
        raise UsageError([f"{flag}: has to be more than 0"])
    return value


def node_name(environment: Mapping[str, str]) -> str:
    """The node's real name where the pod was told it, else the host's."""
    return environment.get("NODE_NAME") or socket.gethostname()


def fetch_settings(flags: FetchFlags) -> FetchSettings:
    """The settings that the flags mean.

    Raises:
        UsageError: names every flag whose value cannot be used.
    """
    problems = Problems()

    def seconds(name: str, *, may_be_zero: bool = False) -> float:
        with problems.collected():
            return read_seconds(flags, name, may_be_zero=may_be_zero)
        return 1  # not used, as there is a problem

    def disk_floor() -> DiskFloor | None:
        try:
            return parse_disk_floor(flags.min_free_disk) if flags.min_free_disk else None
        except UsageError as error:
            problems.add(f"--min-free-disk: {error}")
            return None

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
        pull_policy=PullPolicy(flags.pull_policy) if flags.pull_policy else None,
        retry_missing=flags.retry_missing,
        pin=flags.pin,
        min_free_disk=disk_floor(),
        image_fs_path=flags.image_fs_path or None,
        debug=flags.debug,
        node=node_name(os.environ),
        instance=os.environ.get("INSTANCE_NAME", ""),
    )
    if flags.max_parallel_pulls is not None and flags.max_parallel_pulls < 0:
        problems.add("--max-parallel-pulls: must not be negative")
    if flags.image_fs_path and not os.path.isdir(flags.image_fs_path):  # noqa: PTH112 - a text, as the user gave it
        problems.add(f"--image-fs-path: there is no directory {flags.image_fs_path!r}")
    problems.raise_if_any()
    return settings
