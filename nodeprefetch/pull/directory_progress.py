"""The progress of pulls on CRI-O, from the directories in which it keeps what it downloads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import trio

from nodeprefetch.emitter import Reader
from nodeprefetch.events import Notice
from nodeprefetch.pull.directories import Downloads
from nodeprefetch.pull.progress_source import LOOK_INTERVAL, LOOK_TIMEOUT, Seen
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.download_dirs import DirectoriesSeen
from nodeprefetch.runtime.errors import answered_within

START_TIME = 2.0
"""Seconds that the next call of ours waits for the directory of the last one, which CRI-O makes within milliseconds."""

START_INTERVAL = 0.05
"""Seconds between two looks meanwhile."""

MISSING_AFTER = 10.0
"""Seconds after which a pull without a directory is reported, if none has ever been found."""


class Directories(Protocol):
    """Where download directories are seen, `DownloadDirectories` or a fake."""

    path: str

    async def look(self) -> DirectoriesSeen:
        """Look once.

        Raises:
            RuntimeFaultError: they cannot be looked at.
        """
        ...


@dataclass(kw_only=True, slots=True, eq=False)
class _Started:
    """One pull in progress."""

    image: str
    began: float
    sight: Sight


class DirectoryProgress:
    """Sees all pulls in one look. Makes calls one after another, each when the directory of the last one is known.

    Args:
        directories: where to look.
        emit: gets a notice where that shows nothing.
        unpack_timeout: seconds for which a directory that stands still may be being unpacked.
    """

    step = 0

    def __init__(self, directories: Directories, emit: Reader, *, unpack_timeout: float) -> None:
        self._directories = directories
        self._emit = emit
        self._downloads = Downloads(unpack_timeout=unpack_timeout)
        self._started: dict[str, _Started] = {}
        self._sights: dict[str, Sight] = {}
        """By image, of attempts that have ended."""

        self._starting = ""
        """The attempt whose directory is awaited; empty: none."""

        self._turn = trio.Semaphore(1)
        self._looking = trio.Lock()
        self._seen_in = 0
        """Number of the last look that was reported."""

        self._has_found = self._is_reported = False

    @property
    def interval(self) -> float:
        """Seconds from one look to the next."""
        return START_INTERVAL if self._starting else LOOK_INTERVAL

    def shows(self, _lease: str) -> bool:
        """Whether the progress of a pull is visible."""
        return True

    async def begin(self, attempt_id: str, image: str, _lease: str) -> None:
        """Wait until the directory of the last call is known, and look at what is there before this one.

        Raises:
            RuntimeFaultError: the directories cannot be looked at.
        """
        await self._turn.acquire()
        try:
            with answered_within(LOOK_TIMEOUT):
                await self._update()
        except BaseException:
            self._turn.release()
            raise
        self._downloads = self._downloads.begin(attempt_id)
        self._started[attempt_id] = _Started(image=image, began=trio.current_time(), sight=Sight(is_unseen=True))
        self._starting = attempt_id

    def end(self, attempt_id: str) -> Sight:
        """Forget a pull. Returns its sight: its size is never known, so the last bytes seen are all."""
        started = self._started.pop(attempt_id)
        self._downloads = self._downloads.end(attempt_id)
        self._sights[started.image] = started.sight
        if attempt_id == self._starting:
            self._end_turn()
        return started.sight

    def sight(self, image: str) -> Sight:
        """How far an image's pull is, as last seen."""
        started = next((one for one in self._started.values() if one.image == image), None)
        return started.sight if started else self._sights.get(image, Sight())

    async def look(self) -> Mapping[str, Seen]:
        """Look once.

        Raises:
            RuntimeFaultError: the directories cannot be looked at.
        """
        await self._update()
        seen = {attempt_id: self._downloads.seen(attempt_id, since=self._seen_in) for attempt_id in self._started}
        self._seen_in = self._downloads.looks
        for attempt_id, one in seen.items():
            self._started[attempt_id].sight = one.sight
        self._report_missing()
        return seen

    async def _update(self) -> None:
        async with self._looking:  # looks must not overtake each other
            seen = await self._directories.look()
            self._take(seen, trio.current_time())

    def _take(self, seen: DirectoriesSeen, now: float) -> None:
        is_known = bool(self._starting) and self._downloads.has_directory(self._starting)
        self._downloads = self._downloads.update(seen, now)
        if seen.problem:
            self._report(f"cannot look at all downloads of CRI-O in {self._directories.path}: {seen.problem}")
        if self._starting:
            self._has_found |= self._downloads.has_directory(self._starting)
            # One look more: if another directory appears, nobody knows which of them is this pull's.
            if is_known or now - self._started[self._starting].began >= START_TIME:
                self._end_turn()

    def _end_turn(self) -> None:
        self._starting = ""
        self._downloads = self._downloads.settle()
        self._turn.release()

    def _report_missing(self) -> None:
        began = min((one.began for one in self._started.values()), default=trio.current_time())
        if not self._has_found and trio.current_time() - began >= MISSING_AFTER:
            self._report(
                f"CRI-O downloads nothing to {self._directories.path}, so progress is not visible (if storage.conf "
                "sets big_files_temporary_dir, mount that directory, and set --crio-download-dir)"
            )

    def _report(self, text: str) -> None:
        if not self._is_reported:
            self._is_reported = True
            self._emit(Notice(message=text))
