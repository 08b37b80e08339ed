"""The flags of `aggregate`, and the settings they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from nodeprefetch.aggregator.settings import AggregatorSettings, AuthMode
from nodeprefetch.cli.flags import flag, read_seconds, switch
from nodeprefetch.errors import Problems, UsageError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AggregateFlags:
    """How to serve."""

    http_port: Annotated[int, flag("Port for reading and submission; 0: any free one, which is printed.", "PORT")] = (
        8080
    )
    grpc_port: Annotated[int, flag("Port for submission alone, our stream and gRPC; 0: any free one.", "PORT")] = 8443
    bind: Annotated[str, flag("Address to listen on.", "ADDRESS")] = "0.0.0.0"  # noqa: S104 - a pod's address
    data_dir: Annotated[str | None, flag("Directory for the database; without it all is in memory.", "DIR")] = None
    retention: Annotated[str, flag("How long results are kept.", "DURATION")] = "24h"
    max_results: Annotated[
        int | None, flag("How many attempts are kept; without it 1,000,000, or 100,000 in memory.", "N")
    ] = None
    tls_cert_file: Annotated[str | None, flag("Certificate chain, PEM; read again when it is renewed.", "FILE")] = None
    tls_key_file: Annotated[str | None, flag("Its private key, PEM.", "FILE")] = None
    auth: Annotated[
        Literal["none", "token-file", "kubernetes"],
        flag("What submission needs: nothing, the token in a file, or a service account's token (TokenReview)."),
    ] = "none"
    auth_token_file: Annotated[str | None, flag("The token; read again when it changes.", "FILE")] = None
    auth_audience: Annotated[str, flag("Whom a service account's token must be meant for.", "NAME")] = "nodeprefetch"
    auth_service_account: Annotated[
        str, flag("The service account that may submit; without it any.", "NAMESPACE:NAME")
    ] = ""
    auth_read: Annotated[bool, switch("Reading needs what submission needs.")] = False
    kubeconfig: Annotated[
        str | None, flag("How to reach the Kubernetes API, for --auth kubernetes; without it as a pod does.", "FILE")
    ] = None
    debug: Annotated[bool, switch("Tell of each submission.")] = False


def aggregator_settings(flags: AggregateFlags) -> AggregatorSettings:
    """The settings that the flags mean.

    Raises:
        UsageError: with everything that cannot be used.
    """
    problems = Problems()
    retention = 1.0
    with problems.collected():
        retention = read_seconds(flags, "retention")
    for name in ("http_port", "grpc_port"):
        if not 0 <= getattr(flags, name) <= 65535:  # noqa: PLR2004 - the last port
            problems.add(f"--{name.replace('_', '-')}: a port is a number from 0 to 65535")
    if flags.max_results is not None and flags.max_results < 1:
        problems.add("--max-results: has to be 1 or more")
    with problems.collected():
        _check_service_account(flags.auth_service_account)
    problems.raise_if_any()
    return AggregatorSettings(
        bind=flags.bind,
        http_port=flags.http_port,
        grpc_port=flags.grpc_port,
        data_dir=_path(flags.data_dir),
        retention=retention,
        max_results=flags.max_results,
        tls_cert_file=_path(flags.tls_cert_file),
        tls_key_file=_path(flags.tls_key_file),
        auth=AuthMode(flags.auth),
        auth_token_file=_path(flags.auth_token_file),
        auth_audience=flags.auth_audience,
        auth_service_account=flags.auth_service_account,
        auth_read=flags.auth_read,
        debug=flags.debug,
    )


def _check_service_account(text: str) -> None:
    namespace, colon, name = text.partition(":")
    if text and not (namespace and colon and name and ":" not in name):
        raise UsageError([f"--auth-service-account: {text!r} is not NAMESPACE:NAME"])


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
