"""A fake registry inside a cluster: slow on demand, and its log says which node asked for what."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodeprefetch.testing.registry import FakeRegistry
from nodeprefetch.testing.registry_log import Request
from tests.support.cluster import Cluster, node_address

_CLONE_NEWNET = 0x40000000


class NodesRegistry(FakeRegistry):
    """One in the network of a cluster's nodes, by a name of its own."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        super().__init__(bind=node_address(1))
        self._cluster = cluster
        self._host = host

    def start(self) -> None:
        """Listen on the first node."""
        in_network(self._cluster.network(1), super().start)
        self._cluster.name_registry(self._host, self.address)

    def name(self, name: str) -> str:
        """As nodes call `team/app:1`."""
        return f"{self._host}/{name}"

    def layers(self, node: int, *, without: str = "") -> list[Request]:
        """What that node has asked for, of all repositories but one."""
        asked = self.requests.of(method="GET", stage="layer", address=node_address(node))
        return [request for request in asked if request.repository != without]

    def bytes_to(self, node: int) -> int:
        """Bytes of all answers to that node."""
        return sum(request.bytes_sent for request in self.requests.of(address=node_address(node)))


def in_network(path: Path, action: Callable[[], None]) -> None:
    """Run something in a network namespace; sockets that it opens and threads that it starts stay there.

    Raises:
        OSError: the namespace cannot be entered.
    """

    def enter() -> None:
        with path.open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        action()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(enter).result()
