"""Binds the port of `keep` on which the kubelet asks whether the node is ready."""

import errno
import socket
import sys

from nodeprefetch.errors import UsageError

_LAST_PORT = 65535
_RESET_WHEN_CLOSED = (1).to_bytes(4, sys.byteorder) + bytes(4)
"""struct linger: a closed connection leaves nothing that keeps the port busy."""


def bind_ready_port(address: str) -> socket.socket:
    """Bind an address, without listening yet.

    Args:
        address: `HOST:PORT` with an IP address, in brackets for IPv6; or `:PORT` for all addresses of both families.

    Raises:
        UsageError: it is not such an address, or is in use.
    """
    host, colon, port = address.rpartition(":")
    number = int(port) if colon and port.isascii() and port.isdigit() else 0
    if not 0 < number <= _LAST_PORT:
        raise UsageError([f"--ready-address: invalid address {address!r} (expected HOST:PORT or :PORT)"])
    try:
        if not host:
            return _bind_everywhere(number)
        is_ipv6 = host.startswith("[") and host.endswith("]")
        family, plain = (socket.AF_INET6, host[1:-1]) if is_ipv6 else (socket.AF_INET, host)
        socket.inet_pton(family, plain)  # a name would be resolved
        return _bind(family, plain, number)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the host must be an IP address"
        raise UsageError([f"--ready-address: cannot listen on {address}: {reason}"]) from error


def _bind_everywhere(port: int) -> socket.socket:
    try:
        return _bind(socket.AF_INET6, "::", port)
    except OSError as error:
        if error.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            raise
    return _bind(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - the kubelet comes by the pod's address


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
