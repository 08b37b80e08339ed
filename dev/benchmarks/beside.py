"""Measure a pod's pull during a prefetch, and what it costs the prefetch."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio

from benchmarks.figures import MEBIBYTE, Figure
from benchmarks.line import SharedLine
from benchmarks.processes import run
from benchmarks.startup import fetch
from benchmarks.surroundings import Node, Surroundings
from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.cri import CriImageService
from tests.support.daemons import containerd2_program, why_no_containerd2
from tests.support.proxy import FaultProxy, Passage

_COUNT = 8
_POD_STARTS = 3.0
"""Seconds after the prefetch."""

_LINE = 6 * MEBIBYTE
"""Bytes per second of all connections together."""

_LISTS = {"1 layer": (16 * MEBIBYTE,), "10 layers": (16 * MEBIBYTE // 10,) * 10}
_PODS = {"1 layer": (4 * MEBIBYTE,), "10 layers": (4 * MEBIBYTE // 10,) * 10}

_CONNECTION = MEBIBYTE
"""Bytes per second of each connection, to compare numbers of parallel pulls."""

_LIMITS = (8, 3, 2)
_SHAPES = {"1 layer": (8 * MEBIBYTE,), "2 layers": (4 * MEBIBYTE,) * 2, "8 layers": (MEBIBYTE,) * 8}
_SMALL_POD = (100 * 1024,) * 3


def beside(around: Surroundings) -> Iterator[Figure]:
    """Measure over a line that all share, on each available containerd."""
    for node in _nodes(around):
        yield from _over_shared_line(around, node)


def beside_parallel(around: Surroundings) -> Iterator[Figure]:
    """Measure numbers of parallel pulls over a line with one rate for each connection."""
    for node in _nodes(around):
        yield from _by_parallel_pulls(around, node)


def _nodes(around: Surroundings) -> Iterator[Node]:
    first = around.node("a pod's pull beside a prefetch")
    if first is None:
        return
    yield first
    if reason := why_no_containerd2():
        around.left_out.append(f"a pod's pull beside a prefetch on containerd 2: {reason}")
        return
    with Node(around.directory / f"2-{time.monotonic_ns()}", binary=containerd2_program()) as second:
        yield second


def _over_shared_line(around: Surroundings, node: Node) -> Iterator[Figure]:
    yield Figure(name=f"containerd {node.containerd.version}", unit="", values=(0.0,))
    with SharedLine(node.registry.address, _LINE) as line:
        for shape, layers in _LISTS.items():
            names, images = node.push_images(_COUNT, layers, name=f"list-{shape.replace(' ', '-')}")
            names = [name.replace(node.registry.address, line.address) for name in names]
            node.empty()
            without = run(fetch(around, node.socket, *names)).seconds
            yield Figure(name=f"{_COUNT} images of {shape}, no pod", unit="s", values=(without,))
            for pod_shape, pod_layers in _PODS.items():
                (pod,), (pod_image,) = node.push_images(1, pod_layers, name=f"pod-{pod_shape.replace(' ', '-')}")
                pod = pod.replace(node.registry.address, line.address)
                node.empty()
                alone = _pull(node.socket, pod)
                yield Figure(name=f"  a pod's image of {pod_shape} alone", unit="s", values=(alone,))
                size = sum(image.size for image in (*images, pod_image))
                for flag in ("--yield", "--no-yield"):
                    node.empty()
                    before = line.passed
                    took, pull = _both(node.socket, fetch(around, node.socket, flag, *names), pod)
                    passed = (line.passed - before) / size
                    goals = (1.2 * alone + 1, 1.1 * without, 1.02) if flag == "--yield" else (None,) * 3
                    for name, unit, value, goal in zip(
                        ("the pod's pull", "the prefetch", "bytes"), "ssx", (pull, took, passed), goals, strict=True
                    ):
                        yield Figure(name=f"    {flag}: {name}", unit=unit, values=(value,), goal=goal)
        node.empty()


def _by_parallel_pulls(around: Surroundings, node: Node) -> Iterator[Figure]:
    host, _, port = node.registry.address.partition(":")
    yield Figure(name=f"containerd {node.containerd.version}", unit="", values=(0.0,))
    with FaultProxy((host, int(port)), then=Passage.drip(_CONNECTION)) as proxy:
        (pod,), _ = node.push_images(1, _SMALL_POD, name="pod")
        pod = pod.replace(node.registry.address, proxy.address)
        node.empty()
        yield Figure(name="a small pod's pull alone", unit="s", values=(_pull(node.socket, pod),))
        for shape, layers in _SHAPES.items():
            names, _ = node.push_images(_COUNT, layers, name=shape.replace(" ", "-"))
            names = [name.replace(node.registry.address, proxy.address) for name in names]
            for limit in _LIMITS:
                node.empty()
                command = fetch(around, node.socket, "--max-parallel-pulls", str(limit), *names)
                prefetch, pull = _both(node.socket, command, pod)
                yield Figure(name=f"{_COUNT} images of {shape}, {limit} at once", unit="s", values=(prefetch,))
                yield Figure(name="  a pod's pull beside it", unit="s", values=(pull,))
        node.empty()


def _both(socket: Path, command: Sequence[str], pod: str) -> tuple[float, float]:
    """Return the seconds of the prefetch and of the pod's pull."""
    took: list[float] = []
    prefetch = threading.Thread(target=lambda: took.append(run(command).seconds))
    prefetch.start()
    time.sleep(_POD_STARTS)
    pull = _pull(socket, pod)
    prefetch.join()
    return took[0], pull


def _pull(socket: Path, image: str) -> float:
    """Pull as the kubelet does, and return the seconds."""

    async def pull() -> None:
        async with open_channel(str(socket)) as channel:
            await CriImageService(channel).pull_image(image)

    began = time.monotonic()
    trio.run(pull)
    return time.monotonic() - began
