"""An aggregator and how to authenticate there, as the flags say."""

import ssl
from dataclasses import dataclass, field

from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.submit.endpoint import Endpoint, parse_endpoint
from nodeprefetch.text.plain_file import open_given
from nodeprefetch.text.token_file import TokenFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where to send to."""

    endpoint: Endpoint
    token: TokenFile | None = None
    """Sent as bearer token."""

    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """For https: trusted CA certificates; None: the system's."""


def read_destination(endpoint: str, *, ca_file: str | None = None, token_file: str | None = None) -> Destination:
    """Parse an address, and read the files that belong to it.

    Args:
        endpoint: address of the aggregator, see `parse_endpoint`.
        ca_file: PEM file of the CA certificates to trust instead of the system's; for https.
        token_file: file with a bearer token.

    Raises:
        UsageError: the address is invalid, or a file cannot be read; lists all problems.
    """
    problems = Problems()
    address: Endpoint | None = None
    token: TokenFile | None = None
    tls: ssl.SSLContext | None = None
    with problems.collected():
        token = TokenFile(token_file) if token_file else None
    with problems.collected():
        address = parse_endpoint(endpoint)
        tls = _trust(address, ca_file)
    problems.raise_if_any()
    assert address is not None  # noqa: S101 - otherwise there was a problem
    return Destination(endpoint=address, token=token, tls=tls)


def _trust(endpoint: Endpoint, ca_file: str | None) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    if not endpoint.is_tls:
        raise UsageError([f"--metrics-ca-file requires an https endpoint, got {endpoint}"])
    try:
        open_given(ca_file).close()  # rejects a FIFO, for whose writer OpenSSL would wait
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also ssl.SSLError
        raise UsageError([f"cannot read certificates from CA file {ca_file!r}: {error.strerror or error}"]) from error
