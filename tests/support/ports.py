"""Ports for what tests start by number, or stop and start again on the same one."""

import random
import socket
from contextlib import ExitStack

_BEFORE_EPHEMERAL = range(10_000, 30_000)
"""The kernel gives a connection its port from 32768 on: of these, it takes none in the meantime."""


def free_ports(count: int) -> list[int]:
    """Return different ports on which nobody listens, and which no outgoing connection will be given."""
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            port = random.choice(_BEFORE_EPHEMERAL)
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports


def free_port() -> int:
    """Return one of `free_ports`."""
    (port,) = free_ports(1)
    return port
