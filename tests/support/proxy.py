"""A TCP proxy that does to each connection what its script says: pass, stall, reset, drip, refuse."""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import TracebackType
from typing import Self

from nodeprefetch.testing.waiting import wait_until
from tests.support.ports import free_port

_CHUNK = 1 << 16
_PORTIONS_PER_SECOND = 20


class _End(Enum):
    NEVER = auto()
    STALL = auto()
    RESET = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """What happens to one connection. Made by its class methods; n counts bytes from target to client."""

    end: _End = _End.NEVER
    after: int = 0
    bytes_per_second: float = 0

    @classmethod
    def free(cls) -> "Passage":
        """Pass everything on."""
        return cls()

    @classmethod
    def stall(cls) -> "Passage":
        """Accept, and pass nothing on in either direction."""
        return cls(end=_End.STALL)

    @classmethod
    def stall_after(cls, n: int) -> "Passage":
        """Pass n bytes to the client, then nothing more."""
        return cls(end=_End.STALL, after=n)

    @classmethod
    def reset(cls) -> "Passage":
        """Answer the first bytes of the client with a TCP RST."""
        return cls(end=_End.RESET)

    @classmethod
    def reset_after(cls, n: int) -> "Passage":
        """Pass n bytes to the client, then reset the connection. The client may not get to read all n."""
        return cls(end=_End.RESET, after=n)

    @classmethod
    def drip(cls, bytes_per_second: float) -> "Passage":
        """Pass everything on to the client at this rate."""
        return cls(bytes_per_second=bytes_per_second)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """What is known about one connection."""

    started: float
    """`time.monotonic()` when it was accepted."""

    ended: float | None = None
    """When it was closed; None as long as it is open."""

    bytes_up: int = 0
    """From the client to the target."""

    bytes_down: int = 0
    """From the target to the client."""


class FaultProxy:
    """Listens on 127.0.0.1 and connects to a target; a context manager.

    Args:
        target: host and port to connect to.
        script: what happens to each connection, in the order in which they come.
        then: what happens to those after.
    """

    def __init__(
        self,
        target: tuple[str, int],
        script: Iterable[Passage] = (),
        *,
        then: Passage | None = None,
    ) -> None:
        self.target = target
        self._changed = threading.Condition()
        self._script = list(script)
        self._then = then or Passage.free()
        self._port = free_port()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._links: dict[int, _Link] = {}
        self._connections: list[Connection] = []

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self.cut()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._port}"

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every connection accepted so far."""
        with self._changed:
            return tuple(self._connections)

    def wait_until(self, is_enough: Callable[[tuple[Connection, ...]], bool]) -> tuple[Connection, ...]:
        """Block this thread until the connections satisfy the condition; they are returned.

        Raises:
            TimeoutError: they did not within five minutes.
        """
        wait_until(self._changed, lambda: is_enough(self.connections), lambda: self.connections)
        return self.connections

    def accept(self) -> None:
        """Take connections; after `refuse`, on the same port as before."""
        if self._listener is not None:
            return
        self._listener = listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._acceptor = threading.Thread(target=self._run, args=(listener,), name="fault proxy", daemon=True)
        self._acceptor.start()

    def refuse(self) -> None:
        """Close the listener: new connections are refused, open ones live on."""
        if self._listener is None or self._acceptor is None:
            return
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._acceptor.join()
        self._listener.close()
        self._listener = None

    def cut(self) -> None:
        """Close all open connections, in order."""
        with self._changed:
            links = list(self._links.values())
        for link in links:
            link.cut()

    def script(self, *passages: Passage, then: Passage | None = None) -> None:
        """From now on, treat connections like this; those that are open go on as they are."""
        with self._changed:
            self._script = list(passages)
            self._then = then or Passage.free()

    def _run(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                passage = self._script.pop(0) if self._script else self._then
                number = len(self._connections)
                self._connections.append(Connection(started=time.monotonic()))
                self._changed.notify_all()
                self._links[number] = _Link(self, number, client, passage)

    def count(self, number: int, *, up: int = 0, down: int = 0) -> None:
        """For the connections: these bytes have been passed on."""
        with self._changed:
            old = self._connections[number]
            self._connections[number] = replace(old, bytes_up=old.bytes_up + up, bytes_down=old.bytes_down + down)
            self._changed.notify_all()

    def ended(self, number: int) -> None:
        """For the connections: this one is closed."""
        with self._changed:
            self._connections[number] = replace(self._connections[number], ended=time.monotonic())
            self._changed.notify_all()


class _Link:
    """One connection: the client's socket, the target's socket, and one thread between them.

    One thread only, because a reset wants the socket closed while nobody reads it.
    """

    def __init__(self, proxy: FaultProxy, number: int, client: socket.socket, passage: Passage) -> None:
        self._proxy = proxy
        self._number = number
        self._client = client
        self._upstream: socket.socket | None = None
        self._passage = passage
        self._rest = passage.after if passage.end is not _End.NEVER else None
        self._next_portion = 0.0
        self._thread = threading.Thread(target=self._run, name="fault proxy link", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Close it, and wait until it is closed."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()

    def _run(self) -> None:
        with suppress(OSError):  # whoever breaks the connection: it ends
            if self._rest != 0:
                self._upstream = socket.create_connection(self._proxy.target)
            self._pump()
        if self._upstream is not None:
            self._upstream.close()
        self._client.close()
        self._proxy.ended(self._number)

    def _pump(self) -> None:
        client_has_more = True
        while True:
            readable = self._readable(client_has_more=client_has_more)
            if self._client in readable:
                data = self._client.recv(_CHUNK)
                if not data and (self._upstream is None or self._rest == 0):
                    return
                client_has_more = bool(data)
                self._pass_up(data)
            if self._upstream in readable:
                data = self._upstream.recv(self._portion())
                if not data:
                    return
                self._pass_down(data)
            if self._rest == 0 and self._passage.end is _End.RESET and readable:
                # closing with a linger time of zero sends RST in place of FIN
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return

    def _readable(self, *, client_has_more: bool) -> list[socket.socket]:
        watched = [self._client] if client_has_more else []
        pause = max(0.0, self._next_portion - time.monotonic())
        if self._upstream is not None and self._rest != 0 and not pause:
            watched.append(self._upstream)
        return select.select(watched, [], [], pause or None)[0]

    def _portion(self) -> int:
        rate = self._passage.bytes_per_second
        size = max(1, int(rate / _PORTIONS_PER_SECOND)) if rate else _CHUNK
        return size if self._rest is None else min(size, self._rest)

    def _pass_up(self, data: bytes) -> None:
        if self._upstream is None or self._rest == 0:
            return
        if not data:
            self._upstream.shutdown(socket.SHUT_WR)
            return
        self._upstream.sendall(data)
        self._proxy.count(self._number, up=len(data))

    def _pass_down(self, data: bytes) -> None:
        self._client.sendall(data)
        self._proxy.count(self._number, down=len(data))
        if self._rest is not None:
            self._rest -= len(data)
        if self._passage.bytes_per_second:
            self._next_portion = time.monotonic() + len(data) / self._passage.bytes_per_second
