"""TLS: loads the certificate, and loads it again when it is renewed."""

import ssl
from collections.abc import Callable
from pathlib import Path

import trio

from nodeprefetch.aggregator.settings import AggregatorSettings
from nodeprefetch.errors import UsageError
from nodeprefetch.text.plain_file import read_plain_file

_LOOK_EVERY = 5.0
"""Seconds between two checks of the files; the kubelet updates mounted Secrets within a minute or so."""

_LARGEST_FILE = 1 << 20


def open_tls(settings: AggregatorSettings) -> ssl.SSLContext | None:
    """Return a context with the certificate, or None if TLS is not configured.

    Raises:
        UsageError: a file is missing or invalid.
    """
    if settings.tls_cert_file is None and settings.tls_key_file is None:
        return None
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        raise UsageError(["--tls-cert-file and --tls-key-file must be given together"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION  # RFC 9113, section 9.2.1
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        _load(context, settings.tls_cert_file, settings.tls_key_file)
    except OSError as error:
        raise UsageError([f"cannot load certificate {settings.tls_cert_file} with its key: {error}"]) from error
    return context


async def renew(
    context: ssl.SSLContext, settings: AggregatorSettings, log: Callable[[str], None], every: float = _LOOK_EVERY
) -> None:
    """Reload the certificate for new connections whenever its files change, until cancelled.

    A certificate and key that do not match, as in the middle of a renewal, leave the previous ones in use.
    """
    assert settings.tls_cert_file is not None  # noqa: S101 - there is a context
    assert settings.tls_key_file is not None  # noqa: S101
    files = (settings.tls_cert_file, settings.tls_key_file)
    loaded = [_content(path) for path in files]
    while True:
        await trio.sleep(every)
        found = [_content(path) for path in files]
        if found == loaded:
            continue
        loaded = found
        try:
            # Tested on a separate context first: a key that does not match would break the one in use.
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), *files)
            _load(context, *files)
        except OSError as error:
            log(f"cannot load the renewed certificate, keeping the previous one: {error}")
        else:
            log("certificate renewed")


def _content(path: Path) -> bytes:
    try:
        return read_plain_file(path, _LARGEST_FILE)
    except OSError:
        return b""


def _load(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    """Load a certificate and key without blocking on a FIFO or on a prompt for the key's password."""
    for path in (cert_file, key_file):
        read_plain_file(path, _LARGEST_FILE)
    context.load_cert_chain(cert_file, key_file, password="")
