"""The flags of `aggregate`, and their conversion to settings."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.cli.flag_kinds import flag, switch
from nodeprefetch.cli.flag_settings import read_seconds
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.tickets.growth import Growth

LISTENING = Group.create_ordered("Listening")
STORAGE = Group.create_ordered("Storage")
AUTHENTICATION = Group.create_ordered("Authentication")
PULLING = Group.create_ordered("Nodes that pull")
LOGGING = Group.create_ordered("Logging")

_SERVICE_ACCOUNT = re.compile(r"(?:[^:]+:)?[^:]+")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AggregateFlags:
    """How to serve."""

    http_port: Annotated[
        int, flag("HTTP port for queries and submissions; 0 picks a free one.", "PORT", group=LISTENING)
    ] = 8080
    grpc_port: Annotated[
        int, flag("Port for submissions only, by HTTP and gRPC; 0 picks a free one.", "PORT", group=LISTENING)
    ] = 8443
    bind: Annotated[str, flag("Address to listen on.", "ADDRESS", group=LISTENING)] = "0.0.0.0"  # noqa: S104 - a pod's address
    tls_cert_file: Annotated[
        str | None, flag("Certificate chain (PEM) for TLS; read again when it is renewed.", "FILE", group=LISTENING)
    ] = None
    tls_key_file: Annotated[str | None, flag("Private key (PEM) of the certificate.", "FILE", group=LISTENING)] = None
    data_dir: Annotated[str | None, flag("Directory for the database. Default: in memory.", "DIR", group=STORAGE)] = (
        None
    )
    retention: Annotated[str, flag("How long to keep results.", "DURATION", group=STORAGE)] = "24h"
    node_retention: Annotated[
        str,
        flag(
            "How long to show a node that runs keep and is not heard of; at least three of its report intervals.",
            "DURATION",
            group=STORAGE,
        ),
    ] = "3h"
    max_results: Annotated[
        int | None,
        flag("Maximum number of attempts kept. Default: 1,000,000, or 100,000 in memory.", "N", group=STORAGE),
    ] = None
    auth: Annotated[
        Literal["none", "token-file", "kubernetes"],
        flag(
            "Authentication for submissions: none, the token in a file, or service account tokens (TokenReview).",
            group=AUTHENTICATION,
        ),
    ] = "none"
    auth_read: Annotated[bool, switch("Require authentication for queries too.", group=AUTHENTICATION)] = False
    auth_token_file: Annotated[
        str | None,
        flag("File with the token for --auth token-file; read again when it changes.", "FILE", group=AUTHENTICATION),
    ] = None
    auth_service_account: Annotated[
        str | None,
        flag(
            "Only service account that may submit; without a namespace, in the aggregator's own. Default: any.",
            "[NAMESPACE:]NAME",
            group=AUTHENTICATION,
        ),
    ] = None
    auth_audience: Annotated[str, flag("Required token audience.", "NAME", group=AUTHENTICATION)] = "nodeprefetch"
    kubeconfig: Annotated[
        str | None,
        flag(
            "Kubeconfig used to review tokens, for --auth kubernetes. Default: in-cluster configuration.",
            "FILE",
            group=AUTHENTICATION,
        ),
    ] = None
    pulling_nodes: Annotated[
        int | None,
        flag(
            "Nodes of an instance that may pull at the same time, if they run fetch with --tickets. Default: no limit.",
            "N",
            group=PULLING,
        ),
    ] = None
    pulling_nodes_file: Annotated[
        str | None,
        flag(
            "File with such limits, one per line: INSTANCE N, or * N for all others; read again when it changes.",
            "FILE",
            group=PULLING,
        ),
    ] = None
    growth: Annotated[
        Literal["fixed", "doubling"],
        flag(
            "Whether as many nodes as have all images may pull if that is more (doubling), for clusters whose nodes"
            " serve each other images.",
            group=PULLING,
        ),
    ] = "fixed"
    debug: Annotated[bool, switch("Log each submission.", group=LOGGING)] = False


def aggregator_settings(flags: AggregateFlags, mount: Path | None = None) -> AggregatorSettings:
    """Return the settings for the flags.

    Args:
        flags: how to serve.
        mount: directory of the pod's service account; None: where the kubelet mounts it.

    Raises:
        UsageError: with all invalid values.
    """
    problems = Problems()
    retention = node_retention = 1.0
    with problems.collected():
        retention = read_seconds(flags, "retention")
    with problems.collected():
        node_retention = read_seconds(flags, "node_retention")
    for name in ("http_port", "grpc_port"):
        if not 0 <= getattr(flags, name) <= 65535:  # noqa: PLR2004 - the last port
            problems.add(f"--{name.replace('_', '-')}: must be a number from 0 to 65535")
    if flags.max_results is not None and flags.max_results < 1:
        problems.add("--max-results: must be at least 1")
    if flags.pulling_nodes is not None and flags.pulling_nodes < 0:
        problems.add("--pulling-nodes: must not be negative")
    account = ""
    with problems.collected():
        account = _service_account(flags, mount)
    problems.raise_if_any()
    return AggregatorSettings(
        bind=flags.bind,
        http_port=flags.http_port,
        grpc_port=flags.grpc_port,
        data_dir=_path(flags.data_dir),
        retention=retention,
        node_retention=node_retention,
        max_results=flags.max_results,
        tls_cert_file=_path(flags.tls_cert_file),
        tls_key_file=_path(flags.tls_key_file),
        auth=AuthMode(flags.auth),
        auth_token_file=_path(flags.auth_token_file),
        auth_audience=flags.auth_audience,
        auth_service_account=account,
        auth_read=flags.auth_read,
        pulling_nodes=flags.pulling_nodes,
        pulling_nodes_file=_path(flags.pulling_nodes_file),
        growth=Growth(flags.growth),
        debug=flags.debug,
    )


def _service_account(flags: AggregateFlags, mount: Path | None) -> str:
    """Return the account as `NAMESPACE:NAME`; empty: any."""
    text = flags.auth_service_account or ""
    if text and not _SERVICE_ACCOUNT.fullmatch(text):
        raise UsageError([f"--auth-service-account: invalid value {text!r} (expected NAME or NAMESPACE:NAME)"])
    if not text or ":" in text or flags.auth != "kubernetes":
        return text

    from nodeprefetch.kube import NotInClusterError, namespace_of_pod  # noqa: PLC0415 - not for --help
    from nodeprefetch.kube.server import SERVICE_ACCOUNT  # noqa: PLC0415

    try:
        return f"{namespace_of_pod(mount or SERVICE_ACCOUNT)}:{text}"
    except NotInClusterError as error:
        raise UsageError([f"--auth-service-account: {error} (outside of a cluster use NAMESPACE:NAME)"]) from error


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
