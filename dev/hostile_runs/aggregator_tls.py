"""Attacks on TLS: half handshakes, plain text, old versions, certificates that become invalid and valid again."""

import os
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import trustme

from hostile_runs.attack import Run, attack
from hostile_runs.plain_http import idle, raw


def _pair(authority: trustme.CA, directory: Path, name: str = "localhost") -> None:
    issued = authority.issue_cert(name)
    issued.private_key_pem.write_to_path(directory / "key.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")


def _serial(port: int, ca_file: Path) -> int:
    """Return the serial number of the served certificate."""
    context = ssl.create_default_context(cafile=ca_file)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert()
        return int(str(found["serialNumber"]), 16) if found else 0


@attack("tls", "300 half handshakes, plain text, TLS 1.0")
def handshakes(run: Run) -> None:
    """Closed after their timeout; others are served meanwhile."""
    authority, base = trustme.CA(), run.directory
    _pair(authority, base)
    authority.cert_pem.write_to_path(base / "ca.pem")
    flags = [f"--tls-cert-file={base / 'cert.pem'}", f"--tls-key-file={base / 'key.pem'}"]
    with run.aggregator(*flags, keeps=False, ca_file=base / "ca.pem") as program, ExitStack() as stack:
        for each in idle(program.http_port, 300):
            stack.callback(each.close)
            with suppress(OSError):
                each.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            run.count += 1
        run.expect(
            b"HTTP" not in (raw(program.http_port, b"GET /healthz HTTP/1.1\r\n\r\n") or b""), "plain text is answered"
        )
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with suppress(ValueError):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        try:
            with (
                socket.create_connection(("127.0.0.1", program.http_port), timeout=10) as plain,
                old.wrap_socket(plain),
            ):
                run.expect(False, "TLS 1.1 is accepted")
        except OSError:
            pass
        time.sleep(35)


@attack("tls", "the certificate becomes garbage, a FIFO or another's, disappears, and is renewed")
def certificates(run: Run) -> None:
    """The old one is served until a valid one is available."""
    authority, base = trustme.CA(), run.directory
    _pair(authority, base)
    authority.cert_pem.write_to_path(base / "ca.pem")
    cert, key = base / "cert.pem", base / "key.pem"
    with run.aggregator(
        f"--tls-cert-file={cert}", f"--tls-key-file={key}", keeps=False, ca_file=base / "ca.pem"
    ) as program:
        first = _serial(program.http_port, base / "ca.pem")
        for make in (
            lambda: cert.write_text("garbage"),
            lambda: os.mkfifo(cert),
            lambda: key.write_text("x"),
            key.unlink,
        ):
            if make is not key.unlink:
                cert.unlink(missing_ok=True)
            make()
            time.sleep(6)
            run.count += 1
            run.expect(_serial(program.http_port, base / "ca.pem") == first, "the old certificate is not served")
        cert.unlink(missing_ok=True)
        _pair(authority, base)
        time.sleep(7)
        run.expect(_serial(program.http_port, base / "ca.pem") != first, "the renewed certificate is not served")
