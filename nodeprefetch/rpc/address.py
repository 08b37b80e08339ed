"""Parses addresses of gRPC servers, and connects to them."""

from typing import Protocol
from urllib.parse import urlsplit

import msgspec
import trio

from nodeprefetch.errors import NotConnectedError, UsageError

_LONGEST_PATH = 107
"""Bytes of `sockaddr_un.sun_path` on Linux, without the final NUL."""


class Target(Protocol):
    """The server of a channel; its `str` is used in errors."""

    @property
    def authority(self) -> str:
        """Value of the `:authority` header."""
        ...

    async def connect(self) -> trio.abc.Stream:
        """Connect.

        Raises:
            NotConnectedError: the connection failed; the cause is the `OSError`.
        """
        ...


class UnixTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A Unix socket."""

    path: str

    @property
    def authority(self) -> str:
        """Value of the `:authority` header. A Unix socket has no host, but servers require a valid one."""
        return "localhost"

    def __str__(self) -> str:
        return f"unix://{self.path}"

    async def connect(self) -> trio.abc.Stream:
        """Connect.

        Raises:
            NotConnectedError: the connection failed; the cause is the `OSError`.
        """
        try:
            return await trio.open_unix_socket(self.path)
        except OSError as exc:
            raise NotConnectedError(f"cannot connect to {self}: {exc.strerror or exc}") from exc


class TcpTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP port, without TLS."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """Value of the `:authority` header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"http://{self.authority}"

    async def connect(self) -> trio.abc.Stream:
        """Connect; Nagle's algorithm is off.

        Raises:
            NotConnectedError: the connection failed; the cause is the `OSError`.
        """
        try:
            return await trio.open_tcp_stream(self.host, self.port)
        except OSError as exc:
            raise NotConnectedError(f"cannot connect to {self}: {exc.strerror or exc}") from exc


def parse_address(address: str) -> Target:
    """Parse `/path`, `unix:///path`, `unix:path`, `host:port` or `http://host:port`.

    The `unix:` forms are those of gRPC's name resolution.

    Raises:
        UsageError: the address is invalid, or the path is too long for a socket.
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
