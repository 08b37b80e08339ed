"""Measure the cost of progress: processor time of the thread that checks pulls while a real containerd downloads."""

import time
from collections.abc import Iterator
from functools import partial

import trio

from benchmarks.figures import Figure
from benchmarks.surroundings import Surroundings
from nodeprefetch.events import Event, Progress
from nodeprefetch.pull.deadline import Deadline
from nodeprefetch.pull.progress import ProgressWatch
from nodeprefetch.runtime.connect import connect_to
from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault

_PULLS, _SECONDS, _SETTLED = 20, 20.0, 3.0
_LAYER, _RATE = 6_000_000, 200_000
"""Two layers per image, 30 s each."""


def progress(around: Surroundings) -> Iterator[Figure]:
    """Measure twenty pulls for twenty seconds, with and without progress."""
    node = around.node("the cost of progress")
    if node is None:
        return
    shares: dict[bool, list[float]] = {True: [], False: []}
    with FakeRegistry() as registry:
        names = [
            registry.add(f"progress/{number}:1", make_image((_LAYER, _LAYER), seed=f"progress {number}"))
            for number in range(_PULLS)
        ]
        registry.fail("layer", Fault.slow(_RATE), forever=True)
        for is_watched in (True, False):
            shares[is_watched].append(trio.run(partial(_pull, str(node.socket), names, is_watched=is_watched)))
            node.empty()
    yield Figure(name=f"{_PULLS} pulls with progress, of a core", unit="%", values=tuple(shares[True]), goal=1)
    yield Figure(name="  without progress", unit="%", values=tuple(shares[False]))


async def _pull(socket: str, names: list[str], *, is_watched: bool) -> float:
    """Return the percentage of a core used by this thread; the registry has its own."""
    told: list[Event] = []
    async with trio.open_nursery() as nursery:
        runtime = await connect_to(socket, wait=0, warn=print)(nursery)
        api = runtime.containerd
        assert api is not None
        watch = ProgressWatch(api if is_watched else None, told.append)
        await nursery.start(watch.run)

        async def pull(name: str, lease: str) -> None:
            deadline = Deadline(60, unpack_timeout=60)
            with deadline.scope, watch.watching(name, lease, lease, deadline):
                await runtime.service.pull_image(name, lease=lease)

        for number, name in enumerate(names):
            lease = f"benchmark-{number}"
            await api.create_lease(lease, expires_at=time.time() + 600, labels={})
            nursery.start_soon(pull, name, lease)
        await trio.sleep(_SETTLED)
        began = time.thread_time()
        await trio.sleep(_SECONDS)
        used = time.thread_time() - began
        if is_watched:
            assert len([event for event in told if isinstance(event, Progress)]) > _PULLS * _SECONDS / 2
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        runtime = await connect_to(socket, wait=0, warn=print)(nursery)
        assert runtime.containerd is not None
        for number in range(len(names)):
            await runtime.containerd.delete_lease(f"benchmark-{number}")
        nursery.cancel_scope.cancel()
    return 100 * used / _SECONDS
