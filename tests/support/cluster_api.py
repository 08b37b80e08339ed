"""The API server of a cluster, for programs outside of its network, such as a browser."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.cluster_registry import in_network
from tests.support.proxy import FaultProxy
from tests.support.spawn import DaemonError


class _Door(FaultProxy):
    """Listens on this machine's loopback, and connects to loopback inside of a network."""

    def __init__(self, network: Path, port: int) -> None:
        super().__init__(("127.0.0.1", port))
        self._network = network

    def _run(self, listener: socket.socket) -> None:
        in_network(self._network, lambda: super(_Door, self)._run(listener))


@contextmanager
def api_from_here(cluster: Cluster) -> Iterator[str]:
    """Inside, `kubectl proxy` serves the administrator's API server at the URL.

    Raises:
        DaemonError: it does not start.
    """
    command = cluster.command("kubectl", "proxy", "--port=0")
    environment = {**os.environ, **cluster.environment}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as proxy:
        try:
            assert proxy.stdout
            written = proxy.stdout.readline()
            port = re.search(r":(\d+)$", written.strip())
            if port is None:
                raise DaemonError(f"kubectl proxy: {written}")
            with _Door(cluster.network(1), int(port[1])) as door:
                yield f"http://{door.address}"
        finally:
            proxy.terminate()
