"""Measure a pod's pull during a prefetch, for several numbers of parallel pulls."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import MEBIBYTE, Figure
from benchmarks.processes import run
from benchmarks.startup import fetch
from benchmarks.surroundings import Node, Surroundings
from tests.support.daemons import containerd2_program, why_no_containerd2
from tests.support.proxy import FaultProxy, Passage

_LIMITS = (8, 3, 2, 1)
_SHAPES = {"1 layer": (8 * MEBIBYTE,), "2 layers": (4 * MEBIBYTE,) * 2, "8 layers": (MEBIBYTE,) * 8}
"""Layers of the prefetched images: eight of 8 MiB each."""

_COUNT = 8
_RATE = MEBIBYTE
"""Bytes per second of each connection."""

_POD_LAYERS = (100 * 1024,) * 3
_POD_STARTS = 3.0
"""Seconds after the prefetch."""


def beside(around: Surroundings) -> Iterator[Figure]:
    """Measure on each available containerd."""
    first = around.node("a pod's pull beside a prefetch")
    if first is None:
        return
    yield from _on(around, first)
    if reason := why_no_containerd2():
        around.left_out.append(f"a pod's pull beside a prefetch on containerd 2: {reason}")
        return
    with Node(around.directory / "2", binary=containerd2_program()) as second:
        yield from _on(around, second)


def _on(around: Surroundings, node: Node) -> Iterator[Figure]:
    host, _, port = node.registry.address.partition(":")
    yield Figure(name=f"containerd {node.containerd.version}", unit="", values=(0.0,))
    with FaultProxy((host, int(port)), then=Passage.drip(_RATE)) as proxy:
        (pod,), _ = node.push_images(1, _POD_LAYERS, name="pod")
        pod = pod.replace(node.registry.address, proxy.address)
        node.empty()
        yield Figure(name="a pod's pull alone", unit="s", values=(run(fetch(around, node.socket, pod)).seconds,))
        for shape, layers in _SHAPES.items():
            names, _ = node.push_images(_COUNT, layers, name=shape.replace(" ", "-"))
            names = [name.replace(node.registry.address, proxy.address) for name in names]
            for limit in _LIMITS:
                node.empty()
                prefetch, pull = _both(around, node.socket, names, pod, limit)
                yield Figure(name=f"{_COUNT} images of {shape}, {limit} at once", unit="s", values=(prefetch,))
                yield Figure(name="  a pod's pull beside it", unit="s", values=(pull,))
        node.empty()


def _both(around: Surroundings, socket: Path, names: Sequence[str], pod: str, limit: int) -> tuple[float, float]:
    """Return the seconds of the prefetch and of the pod's pull."""
    took: list[float] = []
    command = fetch(around, socket, "--max-parallel-pulls", str(limit), *names)
    prefetch = threading.Thread(target=lambda: took.append(run(command).seconds))
    prefetch.start()
    time.sleep(_POD_STARTS)
    pull = run(fetch(around, socket, pod)).seconds
    prefetch.join()
    return took[0], pull
