"""Builds what makes a pod ready while its node has every image: an address for `keep`, and the probe of it."""

import hashlib

from deploy_gen.objects import Object
from deploy_gen.options import Options

READY_PORT = 28460
"""Neither ephemeral nor a NodePort, and not registered with IANA."""


def ready_argument(options: Options) -> str:
    """Build the argument of `keep`."""
    return f"--ready-address={_node_host(options)}:{READY_PORT}"


def readiness_probe(options: Options) -> Object:
    """Build the probe. Its connection is refused at once while the node is not ready."""
    host = _node_host(options)
    return {
        "tcpSocket": {**({"host": host} if host else {}), "port": READY_PORT},
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 2,
    }


def _node_host(options: Options) -> str:
    """Choose the address in the node's network: on loopback, one for each installation. Empty: the pod has its own.

    All of 127.0.0.0/8 is loopback. 127.0.*.* and the last address are left to others.
    """
    if not options.host_network:
        return ""
    digest = hashlib.sha256(f"{options.namespace}/{options.name}".encode()).digest()
    second, third, fourth = 1 + digest[0] % 254, digest[1], 1 + digest[2] % 254
    return f"127.{second}.{third}.{fourth}"
