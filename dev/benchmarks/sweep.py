"""Measure the effect of parallel pulls: the basis for the default of --max-parallel-pulls."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import MEBIBYTE, Figure, mebibytes
from benchmarks.line import SharedLine
from benchmarks.processes import Run, forget_peak_memory, peak_memory, run
from benchmarks.startup import fetch
from benchmarks.surroundings import Node, Surroundings
from tests.support.proxy import FaultProxy, Passage

LIMITS = (1, 2, 4, 8, 16, 0)
_COUNT = 40


@dataclass(frozen=True, kw_only=True)
class _Measured:
    run: Run
    runtime_peak: int

    def finished(self, registry: str = "") -> float:
        """Return seconds of the run until the last image of a registry was present."""
        lines = [json.loads(line) for line in self.run.stderr.splitlines()]
        done = [line for line in lines if line["msg"] == "image succeeded" and line["image"].startswith(registry)]
        return max(_seconds(line["elapsed"]) for line in done)


def fast(around: Surroundings) -> Iterator[Figure]:
    """Measure a registry as fast as the machine: the processors and the disk limit it."""
    node = around.node("sweep-fast")
    if node is None:
        return
    names, _ = node.push_images(_COUNT, (14 * MEBIBYTE, 6 * MEBIBYTE), name="fast")
    for limit, runs in _sweep(around, node, names, rounds=2):
        yield _wall(f"fast registry, {_name(limit)}", runs)
        yield mebibytes("  memory of containerd", [one.runtime_peak for one in runs])
        yield mebibytes("  memory of fetch", [one.run.peak for one in runs])


def narrow(around: Surroundings) -> Iterator[Figure]:
    """Measure a network that needs seven seconds for the list, with a first timeout of two."""
    node = around.node("sweep-narrow")
    if node is None:
        return
    names, images = node.push_images(_COUNT, (4 * MEBIBYTE,), name="narrow")
    whole = sum(image.size for image in images)
    with SharedLine(node.registry.address, whole / 7) as line:
        names = [name.replace(node.registry.address, line.address) for name in names]
        flags = ["--initial-pull-attempt-timeout", "2s", "--initial-pull-attempt-delay", "100ms"]
        for limit in LIMITS:
            before = line.passed
            ((_, runs),) = _sweep(around, node, names, flags, rounds=1, limits=[limit])
            yield _wall(f"slow network, {_name(limit)}", runs)
            passed = (line.passed - before) / whole
            yield Figure(name="  bytes sent / bytes of images", unit="x", values=(passed,))


def distant(around: Surroundings) -> Iterator[Figure]:
    """Measure a registry that gives each connection 2 MiB/s."""
    node = around.node("sweep-distant")
    if node is None:
        return
    names, _ = node.push_images(_COUNT, (3 * MEBIBYTE // 2, 3 * MEBIBYTE // 2), name="distant")
    host, _, port = node.registry.address.partition(":")
    with FaultProxy((host, int(port)), then=Passage.drip(2 * MEBIBYTE)) as proxy:
        names = [name.replace(node.registry.address, proxy.address) for name in names]
        for limit, runs in _sweep(around, node, names, rounds=1):
            yield _wall(f"distant registry, {_name(limit)}", runs)


def stalled(around: Surroundings) -> Iterator[Figure]:
    """Measure how long others wait if a fifth of the images stalls in the first attempt, with a timeout of 2 s."""
    node = around.node("sweep-stalled")
    if node is None:
        return
    names, _ = node.push_images(_COUNT, (1 * MEBIBYTE,), name="stalled")
    host, _, port = node.registry.address.partition(":")
    bad = _COUNT // 5
    flags = ["--initial-pull-attempt-timeout", "2s", "--initial-pull-attempt-delay", "100ms"]
    for limit in LIMITS:
        others, whole = [], []
        for _ in range(2):
            with FaultProxy((host, int(port)), [Passage.stall()] * bad) as proxy:
                mixed = [
                    name if number % 5 else name.replace(node.registry.address, proxy.address)
                    for number, name in enumerate(names)
                ]
                ((_, runs),) = _sweep(around, node, mixed, flags, rounds=1, limits=[limit])
            others.append(runs[0].finished(node.registry.address))
            whole.append(runs[0].run.seconds)
        yield Figure(name=f"{bad} of {_COUNT} stall, {_name(limit)}: the others", unit="s", values=tuple(others))
        yield Figure(name="  all", unit="s", values=tuple(whole))


def _sweep(
    around: Surroundings,
    node: Node,
    names: Sequence[str],
    flags: Sequence[str] = (),
    *,
    rounds: int,
    limits: Sequence[int] = LIMITS,
) -> Iterator[tuple[int, list[_Measured]]]:
    """Pull the list cold with each limit; all limits once, then all again."""
    found: dict[int, list[_Measured]] = {limit: [] for limit in limits}
    command = [*fetch(around, node.socket, *flags, "--log-format", "json", "--max-parallel-pulls"), "", *names]
    place = command.index("")
    for _ in range(rounds):
        for limit in limits:
            node.empty()
            node.containerd.restart()  # Go releases memory late
            pid = node.containerd.pid or 0
            forget_peak_memory(pid)
            command[place] = str(limit)
            done = run(command, watch=True)
            found[limit].append(_Measured(run=done, runtime_peak=peak_memory(pid)))
    node.empty()
    yield from found.items()


def _wall(name: str, runs: Sequence[_Measured]) -> Figure:
    return Figure(name=name, unit="s", values=tuple(one.run.seconds for one in runs))


def _name(limit: int) -> str:
    return f"{limit} at once" if limit else "all at once"


def _seconds(text: object) -> float:
    """Parse a duration of the JSON log."""
    return float(str(text))
