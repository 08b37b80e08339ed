"""Download directories of the fake CRI server, as CRI-O makes them: one for each pull, with a file for each blob."""

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICK = 0.02
"""Seconds; more than the resolution of a file's times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrioDownloads:
    """Where pulls keep what they download, and how long unpacking takes."""

    parent: Path
    unpack: float = 0
    """Seconds for which each pull is busy with its files after the download."""


class DownloadDirectory:
    """The directory of one pull."""

    def __init__(self, path: Path, unpack: float) -> None:
        self.path = path
        self._unpack = unpack
        self._files = 0

    @classmethod
    def make(cls, downloads: CrioDownloads) -> Self:
        """Make one with a name that nobody knows before."""
        path = downloads.parent / f"container_images_storage{random.randrange(2**32)}"
        path.mkdir(mode=0o700)
        return cls(path, downloads.unpack)

    def next_file(self) -> Path:
        """The file for another blob."""
        self._files += 1
        return self.path / str(self._files)

    async def unpack(self) -> None:
        """Read all files, and be busy with what was in them."""
        await asyncio.sleep(_TICK)
        for file in self.path.iterdir():
            file.read_bytes()
        await asyncio.sleep(self._unpack)

    def remove(self) -> None:
        """The pull has ended."""
        shutil.rmtree(self.path)
