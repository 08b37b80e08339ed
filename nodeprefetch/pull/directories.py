"""Which of CRI-O's download directories belong to which pulls, and which pulls move. Pure: no I/O.

Nothing in a directory says which image it is for. Only when it appeared does: after a call, and before the next one.
Calls are made one after another for that (`directory_progress`). Pulls and directories that cannot be told apart
nevertheless share a group.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodeprefetch.events import Phase
from nodeprefetch.pull.progress_source import Seen
from nodeprefetch.pull.tracker import Sight
from nodeprefetch.runtime.download_dirs import Blobs, DirectoriesSeen

_STILL = 3.0
"""Seconds without movement after which a pull is shown as unpacking, if it can be."""

_MOST_LOSSES = 2
"""How often a pull's directory may vanish before another is not taken for its own. CRI-O tries one registry after
another for a name without one. But what appears may also be the kubelet's, again and again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """A download directory, as last seen."""

    blobs: Blobs
    moved_at: float = -math.inf
    """Trio's time of the look that last saw it appear, grow or be read; -inf: it was there before we looked."""

    moved_in: int = 0
    """Number of that look; 0: none."""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(blob.size for blob in self.blobs.values())

    @property
    def is_read(self) -> bool:
        """CRI-O has begun to unpack."""
        return any(blob.is_read for blob in self.blobs.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Pulls, and the directories that are theirs. Mostly one of each."""

    pulls: frozenset[str]
    directories: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    """Directories of nobody here that were there when the pulls had none: CRI-O may have joined the pulls to those."""

    losses: int = 0
    """How often all its directories have vanished, although its pulls went on."""

    @property
    def is_open(self) -> bool:
        """A pull has no directory yet, or none any more, and may get one."""
        return len(self.directories) < len(self.pulls) and self.losses <= _MOST_LOSSES

    @property
    def is_sole(self) -> bool:
        """The directory is this pull's."""
        return len(self.directories) == 1 == len(self.pulls)


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloads:
    """All that is known. Each method returns the next state.

    Args:
        unpack_timeout: seconds for which a directory that stands still may be being unpacked.
    """

    unpack_timeout: float
    directories: Mapping[str, Directory] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)
    """Bytes by pull; they never decrease."""

    starting: str = ""
    """The pull that was called last, while its directory is awaited; empty: none is."""

    looks: int = 0
    """How many there were."""

    now: float = -math.inf
    """Time of the last one."""

    records_reads: bool = True

    def begin(self, pull: str) -> "Downloads":
        """A pull is about to be called. There was a look just before."""
        group = Group(pulls=frozenset({pull}), others=self._ungrouped)
        return replace(self, groups=(*self.groups, group), starting=pull)

    def settle(self) -> "Downloads":
        """Wait no longer for the directory of the last call: the next one may be made."""
        return replace(self, starting="")

    def end(self, pull: str) -> "Downloads":
        """A pull has ended. Its directory vanishes soon, and tells by that which of a group's it was."""
        groups = (replace(group, pulls=group.pulls - {pull}) for group in self.groups)
        done = {name: size for name, size in self.done.items() if name != pull}
        return replace(self, groups=tuple(group for group in groups if group.pulls), done=done)

    def update(self, seen: DirectoriesSeen, now: float) -> "Downloads":
        """Take in one look."""
        directories = {name: self._observe(name, blobs, now) for name, blobs in seen.directories.items()}
        new = frozenset(directories.keys() - self.directories.keys()) if self.looks else frozenset()
        groups = self._assign(frozenset(directories), new)
        state = replace(self, directories=directories, groups=groups, looks=self.looks + 1, now=now)
        state = replace(state, records_reads=seen.records_reads)
        sole = {pull: directories[name].size for group in groups if group.is_sole for pull, name in _pairs(group)}
        more = {pull: max(size, self.done.get(pull, 0)) for pull, size in sole.items()}
        return replace(state, done={**self.done, **more})

    def has_directory(self, pull: str) -> bool:
        """Whether a directory is this pull's, or may be."""
        return bool(self._group(pull).directories)

    def seen(self, pull: str, *, since: int) -> Seen:
        """What is visible of a pull.

        Args:
            pull: begun, and not ended.
            since: number of a look; what moved later is movement.
        """
        group = self._group(pull)
        own = [self.directories[name] for name in group.directories]
        has_bytes = any(directory.size for directory in own)
        may_unpack = has_bytes and self._may_unpack(group)
        sight = Sight(
            phase=self._phase(own, has_bytes=has_bytes),
            done=self.done.get(pull, 0),
            may_fetch=not may_unpack,
            is_unseen=not has_bytes,
        )
        return Seen(sight=sight, moved=self._has_moved(group, since), is_counted=group.is_sole)

    def _observe(self, name: str, blobs: Blobs, now: float) -> Directory:
        before = self.directories.get(name)
        if before is None and not self.looks:  # it may have been left by a CRI-O that was killed
            return Directory(blobs=blobs)
        if before is None or _has_grown(before.blobs, blobs):
            return Directory(blobs=blobs, moved_at=now, moved_in=self.looks + 1)
        return replace(before, blobs=blobs)

    def _assign(self, present: frozenset[str], new: frozenset[str]) -> tuple[Group, ...]:
        """Remove directories that are gone from groups, and add new ones to the pulls that have none."""
        known = present - new
        kept = [replace(one, directories=one.directories & known, others=one.others & known) for one in self.groups]
        ungrouped = known - _union(one.directories for one in kept)
        groups = [
            replace(after, others=ungrouped if after.is_open else frozenset(), losses=after.losses + 1)
            if before.directories and not after.directories
            else after
            for before, after in zip(self.groups, kept, strict=True)
        ]
        # CRI-O makes directories at once. So what appears is the last call's, and not that of one which waits for long.
        starting = [one for one in groups if self.starting in one.pulls]
        waiting = starting or [one for one in groups if one.is_open]
        if not new or not waiting:
            return tuple(groups)
        merged = Group(
            pulls=_union(one.pulls for one in waiting),
            directories=_union(one.directories for one in waiting) | new,
            others=_union(one.others for one in waiting),
            losses=max(one.losses for one in waiting),
        )
        return (*(one for one in groups if one not in waiting), merged)

    def _has_moved(self, group: Group, since: int) -> bool:
        """Whether a pull of a group may have moved since a look.

        Any directory that may be its counts: if fewer grow than there are pulls, one of these stands still, but
        nobody can say which. That lasts until another one of them ends, and its directory with it. Pulls without a
        directory move if as many others' grow as there are such pulls: CRI-O joins calls for the same image.
        """
        if group.directories:
            return any(self.directories[name].moved_in > since for name in group.directories)
        without = sum(len(one.pulls) for one in self.groups if not one.directories)
        growing = sum(self.directories[name].moved_in > since for name in group.others)
        return growing >= without

    def _may_unpack(self, group: Group) -> bool:
        """Whether a pull that stands still may be busy with what it has downloaded, or wait for another to be.

        CRI-O reads a blob only to unpack it, and unpacks a complete one at once, unless another pull holds the store.
        """
        if not self.records_reads:
            return True
        return any(
            directory.is_read and (name in group.directories or self.now - directory.moved_at < self.unpack_timeout)
            for name, directory in self.directories.items()
        )

    def _phase(self, own: Sequence[Directory], *, has_bytes: bool) -> Phase:
        if not has_bytes:
            return Phase.RESOLVING
        still = self.now - max(directory.moved_at for directory in own)
        is_unpacking = still >= _STILL and all(directory.is_read for directory in own)
        return Phase.UNPACKING if is_unpacking else Phase.DOWNLOADING

    def _group(self, pull: str) -> Group:
        return next(group for group in self.groups if pull in group.pulls)

    @property
    def _ungrouped(self) -> frozenset[str]:
        return frozenset(self.directories) - _union(group.directories for group in self.groups)


def _has_grown(before: Blobs, after: Blobs) -> bool:
    for name, blob in after.items():
        known = before.get(name)
        if known is None or blob.size > known.size or (blob.is_read and not known.is_read):
            return True
    return False


def _pairs(group: Group) -> Iterable[tuple[str, str]]:
    return zip(group.pulls, group.directories, strict=True)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
