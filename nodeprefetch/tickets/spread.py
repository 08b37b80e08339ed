"""The place of a node in time, from its name alone. Pure."""

from hashlib import blake2b

REQUESTS_PER_IMAGE = 13
"""Requests to a registry for an image of ten layers: token, index, manifest, and a blob each."""

_RANGE = float(2**64)


def place(instance: str, node: str) -> float:
    """Return the place of a node among all nodes, from 0 up to 1: the same in every run, and evenly distributed.

    Args:
        instance: name of the installation, so that several do not prefer the same nodes.
        node: name of the node.
    """
    digest = blake2b(f"{instance}\0{node}".encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest) / _RANGE


def spread_needed(*, images: int, nodes: int, rate: float) -> float:
    """Return how long all nodes must be spread, in seconds, so that they stay below a registry's rate.

    Args:
        images: number of images in the list.
        nodes: number of nodes that start together.
        rate: requests per second that the registry takes.
    """
    return images * REQUESTS_PER_IMAGE * nodes / rate
