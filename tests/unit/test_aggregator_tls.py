"""The certificate, and its renewal, on virtual time."""

import os
import ssl
from contextlib import suppress

import pytest
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from nodeprefetch.aggregator.server.tls import open_tls, renew
from nodeprefetch.aggregator.settings import AggregatorSettings
from nodeprefetch.errors import UsageError

AUTHORITY = trustme.CA()


def write_pair(directory, name):
    issued = AUTHORITY.issue_cert(name)
    issued.private_key_pem.write_to_path(directory / "key.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")


def become_fifo(path):
    path.unlink()
    os.mkfifo(path)


def settings_in(directory):
    return AggregatorSettings(tls_cert_file=directory / "cert.pem", tls_key_file=directory / "key.pem")


def name_served(context):
    """The name in the certificate that a client is shown."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(trusting)
    trusting.check_hostname = False
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server)
    for _ in range(4):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client.getpeercert()["subjectAltName"][0][1]


def test_without_files_there_is_no_tls():
    assert open_tls(AggregatorSettings()) is None


def test_one_file_needs_the_other(tmp_path):
    with pytest.raises(UsageError, match="must be given together"):
        open_tls(AggregatorSettings(tls_cert_file=tmp_path / "cert.pem"))


def test_files_that_are_no_good_are_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="cannot load certificate"):
        open_tls(settings_in(tmp_path))


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_a_fifo_is_waited_for_by_nobody(tmp_path, name):
    write_pair(tmp_path, "first.example")
    become_fifo(tmp_path / name)

    with pytest.raises(UsageError, match="not a regular file"):
        open_tls(settings_in(tmp_path))


def test_nobody_is_asked_for_the_password_of_a_key(tmp_path):
    """OpenSSL would ask at the terminal."""
    write_pair(tmp_path, "first.example")
    key = load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )

    with pytest.raises(UsageError, match="cannot load certificate"):
        open_tls(settings_in(tmp_path))


async def test_a_certificate_that_becomes_a_fifo_leaves_the_old_one(tmp_path, autojump_clock):
    write_pair(tmp_path, "first.example")
    said = []
    context = open_tls(settings_in(tmp_path))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(renew, context, settings_in(tmp_path), said.append)
        await trio.sleep(1)
        become_fifo(tmp_path / "cert.pem")
        await trio.sleep(11)
        nursery.cancel_scope.cancel()

    assert "first.example" == name_served(context)
    assert ["cannot load the renewed certificate, keeping the previous one"] == [
        line.partition(":")[0] for line in said
    ]


async def test_a_renewed_certificate_is_served_and_a_half_renewed_one_is_not(tmp_path, autojump_clock):
    write_pair(tmp_path, "first.example")
    first_key = (tmp_path / "key.pem").read_bytes()
    settings, said, served = settings_in(tmp_path), [], []
    context = open_tls(settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(renew, context, settings, said.append)
        await trio.sleep(11)
        served.append(name_served(context))
        (tmp_path / "key.pem").write_text("half")
        await trio.sleep(5)
        served.append(name_served(context))
        write_pair(tmp_path, "other.example")
        (tmp_path / "key.pem").write_bytes(first_key)  # the new certificate beside the old key
        await trio.sleep(5)
        served.append(name_served(context))
        (tmp_path / "key.pem").unlink()
        await trio.sleep(5)
        served.append(name_served(context))
        write_pair(tmp_path, "second.example")
        await trio.sleep(5)
        served.append(name_served(context))
        nursery.cancel_scope.cancel()

    assert ["first.example"] * 4 + ["second.example"] == served
    assert ["keeping the previous one"] * 3 + ["certificate renewed"] == [
        next(word for word in ("keeping the previous one", "certificate renewed") if word in line) for line in said
    ]
