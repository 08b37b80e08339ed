"""Where a gRPC server listens: the text a person gives, and what to connect to."""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import trio

from nodeprefetch.errors import NotConnectedError, UsageError

_LONGEST_PATH = 107
"""Bytes in Linux' `sockaddr_un.sun_path`, without the closing NUL."""


class Target(Protocol):
    """What a channel connects to; its `str` names it in errors."""

    @property
    def authority(self) -> str:
        """What the `:authority` header says."""
        ...

    async def connect(self) -> trio.abc.Stream:
        """A fresh connection.

        Raises:
            NotConnectedError: there is none to be had; the cause is the `OSError`.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class UnixTarget:
    """A Unix socket."""

    path: str

    @property
    def authority(self) -> str:
        """Over a Unix socket there is no host to name, and servers want a valid one."""
        return "localhost"

    def __str__(self) -> str:
        return f"unix://{self.path}"

    async def connect(self) -> trio.abc.Stream:
        """Connect.

        Raises:
            NotConnectedError: nobody listens there; the cause is the `OSError`.
        """
        try:
            return await trio.open_unix_socket(self.path)
        except OSError as exc:
            raise NotConnectedError(f"cannot connect to {self}: {exc.strerror or exc}") from exc


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpTarget:
    """A TCP port, without TLS."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """What the `:authority` header says."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"http://{self.authority}"

    async def connect(self) -> trio.abc.Stream:
        """Connect; Nagle's algorithm is off.

        Raises:
            NotConnectedError: the host is unknown or nobody listens; the cause is the `OSError`.
        """
        try:
            return await trio.open_tcp_stream(self.host, self.port)
        except OSError as exc:
            raise NotConnectedError(f"cannot connect to {self}: {exc.strerror or exc}") from exc


def parse_address(address: str) -> Target:
    """Understand `/path`, `unix:///path`, `unix:path`, `host:port` or `http://host:port`.

    The `unix:` forms are those of gRPC's name resolution; a bare path is what people write.

    Raises:
        UsageError: it is none of these, or the path is longer than a socket's name can be.
    """
    if address.startswith("/"):
        return _unix(address, address)
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        return _unix(address, "/" + path.lstrip("/") if path.startswith("//") else path)
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    if parts.scheme != "http" or not host or not port or parts.path.strip("/") or "@" in parts.netloc:
        raise UsageError(
            [f"invalid gRPC address {address!r}: expected unix:///PATH, /PATH, HOST:PORT or http://HOST:PORT"]
        )
    return TcpTarget(host=host, port=port)


def _unix(address: str, path: str) -> UnixTarget:
    if not path.strip("/") or "\0" in path:
        raise UsageError([f"invalid socket address {address!r}: expected unix:///PATH"])
    if len(path.encode(errors="surrogateescape")) > _LONGEST_PATH:
        raise UsageError([f"socket path {address!r} is longer than {_LONGEST_PATH} bytes"])
    return UnixTarget(path=path)
