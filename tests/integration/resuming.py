"""A node whose pulls are interrupted, and what is left on it: for tests of what goes on where it was."""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from nodeprefetch.rpc import open_channel
from nodeprefetch.runtime.api import ContainerdApi
from nodeprefetch.runtime.containerd import ContainerdClient
from nodeprefetch.runtime.cri import CriImageService
from nodeprefetch.runtime.lease_labels import PullLease, pull_lease
from nodeprefetch.testing.images import Image, make_image
from nodeprefetch.testing.registry import FakeRegistry, Fault
from tests.integration.program import Ended, Program, Start, fetch_arguments
from tests.support.containerd import Containerd
from tests.support.patience import PATIENCE

NUMBERS = itertools.count()


class Node:
    """A containerd, a registry, and runs of instances on it. Images get names that no other test has."""

    def __init__(self, containerd: Containerd, registry: FakeRegistry, start: Start) -> None:
        self.containerd = containerd
        self.registry = registry
        self._start = start
        self._number = next(NUMBERS)
        self._prefix = f"resume{self._number}"

    def serve(self, name: str, *sizes: int, seed: str = "") -> tuple[str, Image]:
        image = make_image(sizes or (2048,), seed=f"{self._prefix} {name} {seed} {self.containerd.version}")
        return self.registry.add(f"{self._prefix}/{name}", image), image

    def fail(self, name: str, *faults: Fault, forever: bool = False) -> None:
        """The next requests for layers of this image."""
        self.registry.fail("layer", *faults, image=f"{self._prefix}/{name}", forever=forever)

    @property
    def instance(self) -> str:
        return f"instance {self._number}"

    def start(self, *images: str, instance: str | None = None, **options: object) -> Program:
        environment = {"INSTANCE_NAME": self.instance if instance is None else instance}
        return self._start(*fetch_arguments(self.containerd, images, options), environment=environment)

    def fetch(self, *images: str, **options: object) -> Ended:
        return self.start(*images, **options).end()  # type: ignore[arg-type]

    def leases_command(self, *arguments: str) -> Ended:
        environment = {"INSTANCE_NAME": self.instance}
        return self._start(
            "leases", f"--cri-socket={self.containerd.socket}", *arguments, environment=environment
        ).end()

    @asynccontextmanager
    async def api(self) -> AsyncIterator[ContainerdApi]:
        async with open_channel(str(self.containerd.socket)) as channel:
            yield ContainerdClient(channel)

    def leases(self) -> list[PullLease]:
        """Those for images of this test."""

        async def ask() -> list[PullLease]:
            async with self.api() as api:
                return [one for lease in await api.leases() if (one := pull_lease(lease)) and self._prefix in one.image]

        return trio.run(ask)

    def ingests(self) -> Mapping[str, int]:
        async def ask() -> Mapping[str, int]:
            async with self.api() as api:
                return {one.ref.partition("-")[2]: one.offset for one in await api.ingests()}

        return trio.run(ask)

    def delete_leases(self) -> None:
        async def delete() -> None:
            async with self.api() as api:
                for lease in await api.leases():
                    if (one := pull_lease(lease)) and self._prefix in one.image:
                        await api.delete_lease(one.id)

        trio.run(delete)

    def wait_for_bytes(self, image: Image, least: float) -> None:
        """Block until containerd has that much of its first layer."""

        async def wait() -> None:
            with trio.fail_after(PATIENCE):
                async with self.api() as api:
                    ref = f"layer-{image.layers[0].digest}"
                    while not any(one.ref == ref and one.offset >= least for one in await api.ingests()):  # noqa: ASYNC110 - it tells nobody
                        await trio.sleep(0.02)

        trio.run(wait)

    @staticmethod
    def wait_until(is_so: Callable[[], bool]) -> None:
        """Block until containerd shows that."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def release(self, image: Image) -> None:
        """Let the first answer with its first layer go on, which is stalled, or about to be."""

        def has_ended() -> bool:
            self.registry.release()
            digest = image.layers[0].digest
            asked = self.registry.requests.of(method="GET", stage="layer", reference=digest)
            return bool(asked) and asked[0].ended is not None

        self.wait_until(has_ended)

    def held(self, *images: str) -> dict[str, tuple[str, int, Sequence[str], Sequence[str]]]:
        """What CRI says of them."""

        async def ask() -> dict[str, tuple[str, int, Sequence[str], Sequence[str]]]:
            async with open_channel(str(self.containerd.socket)) as channel:
                service = CriImageService(channel)
                found = {name: await service.image_status(name) for name in images}
            return {name: (one.id, one.size, one.repo_tags, one.repo_digests) for name, one in found.items() if one}

        return trio.run(ask)

    def remove(self, *images: str) -> None:
        async def remove() -> None:
            async with open_channel(str(self.containerd.socket)) as channel:
                for name in images:
                    await CriImageService(channel).remove_image(name)

        trio.run(remove)

    def layer_requests(self, image: Image) -> list[tuple[str, int]]:
        """Range header and bytes of each request for its first layer, in order."""
        digest = image.layers[0].digest
        asked = self.registry.requests.of(method="GET", stage="layer", reference=digest)
        return [(one.range, one.bytes_sent) for one in asked]

    def bytes_served(self) -> int:
        return sum(request.bytes_sent for request in self.registry.requests)
