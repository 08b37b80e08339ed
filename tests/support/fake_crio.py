"""A fake CRI-O on virtual time: each of its pulls has a download directory, whose files grow and are read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from nodeprefetch.credentials.auth import AuthConfig
from nodeprefetch.runtime.download_dirs import Blob, DirectoriesSeen
from nodeprefetch.runtime.errors import RuntimeFaultError
from nodeprefetch.testing.service import FakeImageService

TICK = 0.5
"""Seconds in which downloads grow."""

IMAGE = "sha256:" + "1" * 64


@dataclass(kw_only=True)
class FakeDirectories:
    """What is in /var/tmp."""

    path: str = "/var/tmp"
    held: dict[str, dict[str, Blob]] = field(default_factory=dict)
    records_reads: bool = True
    problem: str = ""
    fails: RuntimeFaultError | None = None
    hangs: bool = False
    looks: list[float] = field(default_factory=list)
    made_at: list[float] = field(default_factory=list)

    async def look(self) -> DirectoriesSeen:
        """Look once, as from a thread: others run meanwhile."""
        self.looks.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.fails is not None:
            raise self.fails
        directories = {name: {**blobs} for name, blobs in self.held.items()}
        return DirectoriesSeen(directories=directories, records_reads=self.records_reads, problem=self.problem)

    def make(self) -> str:
        """Make a directory, as at the start of a pull."""
        self.made_at.append(trio.current_time())
        name = f"container_images_storage{len(self.made_at)}"
        self.held[name] = {}
        return name

    def write(self, name: str, size: int, blob: str = "1") -> None:
        """A file has that many bytes now."""
        self.held[name][blob] = Blob(size=size)

    def read(self, name: str, blob: str = "1") -> None:
        """A file is being unpacked."""
        self.held[name][blob] = Blob(size=self.held[name][blob].size, is_read=self.records_reads)


@dataclass(frozen=True, kw_only=True)
class Download:
    """What one PullImage does."""

    size: int = 0
    rate: float = 1_000_000
    """Bytes per second."""

    stalls_at: float = math.inf
    """Bytes after which nothing comes any more."""

    waits: float = 0
    """Seconds for the store, once all bytes are there: another's layer is being unpacked."""

    unpacks: float = 0
    """Seconds in which the file is read."""

    delay: float = 0
    """Seconds until the directory is made."""

    joins: bool = False
    """Has no directory: CRI-O joins it to a pull that is under way."""


@dataclass(kw_only=True)
class FakeCrio(FakeImageService):
    """CRI-O, pulling as the facts say.

    Args:
        downloads: for each image what its PullImage calls do; the last one is repeated.
    """

    downloads: Mapping[str, Sequence[Download]] = field(default_factory=dict)
    directories: FakeDirectories = field(default_factory=FakeDirectories)
    name: str = "cri-o"
    cancelled: list[tuple[str, float]] = field(default_factory=list)
    """Images of calls that were cancelled, and when."""

    is_killed: bool = False
    """Leaves its directories behind."""

    def __post_init__(self) -> None:
        self.pulls = {image: [IMAGE] for image in self.downloads}
        super().__post_init__()
        self._left = {image: list(steps) for image, steps in self.downloads.items()}

    async def pull_image(self, image: str, auth: AuthConfig | None = None, *, lease: str = "") -> str:
        """Download, unpack, and hold the image."""
        steps = self._left[image]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        directory = ""
        try:
            await self._wait(step.delay)
            directory = "" if step.joins else self.directories.make()
            await self._download(step, directory)
            return await super().pull_image(image, auth, lease=lease)
        except trio.Cancelled:
            self.cancelled.append((image, trio.current_time()))
            raise
        finally:
            if directory and not self.is_killed:
                del self.directories.held[directory]

    async def _download(self, step: Download, directory: str) -> None:
        done = 0.0
        while done < step.size:
            await self._wait(TICK)
            done = min(done + TICK * step.rate, step.size, step.stalls_at)
            if directory:
                self.directories.write(directory, int(done))
            if done >= step.stalls_at:
                await self._wait(math.inf)
        await self._wait(step.waits)
        if directory and step.size:
            self.directories.read(directory)
        await self._wait(step.unpacks)

    async def _wait(self, seconds: float) -> None:
        """As long as it is not killed."""
        with trio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                await trio.sleep(seconds)
            finally:
                self._under_way.discard(scope)
        if self.gone is not None:
            raise self.gone
