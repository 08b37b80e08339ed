"""A port that accepts connections only while the node is ready, for the kubelet's tcpSocket probe.

The kernel completes a probe's connection without us, so nobody has to wake up for it. We discard them now and then.
"""

from __future__ import annotations

# The C module: socket.py is too large.
import _socket as socket
import os

BACKLOG = 128
"""Connections that may come between two calls of `discard`."""


class Port:
    """The port. It stays bound all the time, so nobody else on the node can take it.

    Args:
        descriptor: of a bound stream socket. Its linger time must be 0: otherwise a connection that we close first
            keeps the port busy for a minute.
    """

    __slots__ = ("_accepted", "_socket", "is_open")

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)  # noqa: FBT003 - the same
        self._accepted: list[int] = []
        self.is_open = False

    def open(self) -> None:
        """Accept connections from now on.

        Raises:
            OSError: something keeps the port busy.
        """
        self._close_accepted()  # they would
        self._socket.listen(BACKLOG)
        self.is_open = True

    def close(self) -> None:
        """Refuse connections from now on."""
        self._socket.shutdown(socket.SHUT_RD)  # of a listening socket: it stops to listen, and stays bound
        self.is_open = False

    def discard(self) -> None:
        """Take the connections that have come, and close those of the last time.

        Their peers have closed them by then. A connection that we reset while its peer is being told of it would be a
        failed probe.
        """
        self._close_accepted()
        try:
            for _ in range(BACKLOG) if self.is_open else ():
                descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - socket.py's own
                self._accepted.append(descriptor)
        except OSError:  # none is left, or it was reset
            pass

    def _close_accepted(self) -> None:
        while self._accepted:
            os.close(self._accepted.pop())
