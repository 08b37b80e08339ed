"""The provider for one `--docker-config`: answers from memory and rereads files that have changed."""

from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from nodeprefetch.credentials import CacheKeyType, ImageRef, Problems, ProvidedCredentials, UsageError
from nodeprefetch_pull_secrets.locations import by_name, find_payload_files
from nodeprefetch_pull_secrets.payload import Fingerprint, Payload, fingerprint, read_payload

CHECK_INTERVAL = 1.0
"""Minimum seconds between two checks of the files. The kubelet needs up to a minute to update a mounted Secret."""


class PullSecrets:
    """The pull secrets of a file or directory.

    Secrets may be updated during a run, so changed files are read again. If the new content is invalid, the old one
    stays in use, with one warning.

    Args:
        location: the file or directory.
        warn: called with each entry that was skipped or is unusual, without secrets and paths.

    Raises:
        UsageError: lists everything that cannot be read.
    """

    is_local = True

    def __init__(self, location: str, *, warn: Callable[[str], None]) -> None:
        self._location = location
        self._warn = warn
        self._next_check = float("-inf")
        self._refused: dict[Path, tuple[Fingerprint | None, str]] = {}
        """The fingerprint of each file that is invalid, and the warning about it."""
        self._warned: frozenset[str] = frozenset()
        self._payloads: dict[Path, Payload] = {}
        self._provided = ProvidedCredentials()
        self._read_all()

    @property
    def name(self) -> str:
        """For logs and results: `docker-config NAME`, the name of the Secret or file, never a path."""
        return by_name(self._location)

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:  # noqa: ARG002 - the same for all
        """Return the credentials of all files, for any image: always the same object until a file changes.

        Does not wait. At most once a second it checks the files' metadata and reads those that have changed.
        """
        now = trio.current_time()
        if now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL
            self._check_files()
        return self._provided

    def _read_all(self) -> None:
        problems = Problems()
        payloads: list[Payload] = []
        for path in find_payload_files(self._location):
            with problems.collected():
                payloads.append(read_payload(path))
        problems.raise_if_any()
        self._use(payloads)
        self._warn_of_new(())

    def _check_files(self) -> None:
        try:
            paths = find_payload_files(self._location, by_name)
        except UsageError as error:
            self._warn_of_new(f"{problem}; keeping the previous content" for problem in error.problems)
            return
        payloads = [payload for path in paths if (payload := self._current(path))]
        if payloads != list(self._payloads.values()):
            self._use(payloads)
        self._refused = {path: refused for path, refused in self._refused.items() if path in paths}
        self._warn_of_new(complaint for _, complaint in self._refused.values())

    def _current(self, path: Path) -> Payload | None:
        """Return the file's content, read again if it has changed; the old content if the new one is invalid."""
        old = self._payloads.get(path)
        now = fingerprint(path)
        if old and old.fingerprint in (None, now):
            self._refused.pop(path, None)
            return old
        if path in self._refused and self._refused[path][0] == now:
            return old
        try:
            new = _read_file(path, now)
        except UsageError as error:
            consequence = "keeping the previous content" if old else "skipped"
            self._refused[path] = (now, f"{error}; {consequence}")
            return old
        self._refused.pop(path, None)
        return new

    def _use(self, payloads: Iterable[Payload]) -> None:
        self._payloads = {payload.path: payload for payload in payloads}
        self._provided = ProvidedCredentials(
            entries=tuple(entry for payload in self._payloads.values() for entry in payload.entries),
            cache_key_type=CacheKeyType.GLOBAL,
        )

    def _warn_of_new(self, complaints: Iterable[str]) -> None:
        """Warn of problems that were not there at the last check."""
        warnings = dict.fromkeys(warning for payload in self._payloads.values() for warning in payload.warnings)
        warnings |= dict.fromkeys(complaints)
        for warning in warnings:
            if warning not in self._warned:
                self._warn(warning)
        self._warned = frozenset(warnings)


def _read_file(path: Path, found: Fingerprint | None) -> Payload:
    if found is None:  # opening a FIFO could wait for its other end
        raise UsageError([f"{by_name(path)}: not a regular file"])
    return read_payload(path, by_name)
