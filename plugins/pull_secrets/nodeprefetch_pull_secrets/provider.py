"""The provider for one `--docker-config`: answers from memory, and reads files again when they have changed."""

from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from nodeprefetch.credentials.keyring import Keyring
from nodeprefetch.credentials.provider import ProvidedCredentials
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.values.image_ref import ImageRef
from nodeprefetch_pull_secrets.locations import by_name, find_payload_files
from nodeprefetch_pull_secrets.payload import Fingerprint, Payload, fingerprint, read_payload

LOOK_INTERVAL = 1.0
"""Seconds in which files are looked at once at most. The kubelet needs up to a minute to renew a mounted Secret."""


class PullSecrets:
    """The pull secrets of a file or directory.

    Secrets are renewed while a run waits for them, so what has changed is read again. Where the new content cannot be
    used, the old one stays in use; that is said once.

    Args:
        location: the file or directory.
        warn: told what was left out or is odd, without secrets and paths.

    Raises:
        UsageError: with everything that cannot be read.
    """

    is_local = True

    def __init__(self, location: str, *, warn: Callable[[str], None]) -> None:
        self._location = location
        self._warn = warn
        self._next_look = float("-inf")
        self._refused: dict[Path, tuple[Fingerprint | None, str]] = {}
        """What was there when a file could not be used, and what was said of it."""
        self._said: frozenset[str] = frozenset()
        self._payloads: dict[Path, Payload] = {}
        self._keyring = Keyring()
        self._read_all()

    @property
    def name(self) -> str:
        """For logs and results: `docker-config NAME`, the name of the Secret or file. Others read these: no path."""
        return by_name(self._location)

    async def get_credentials(self, image: ImageRef) -> ProvidedCredentials:
        """Those whose key matches the image, the most specific key first.

        Does not wait: at most once a second the files' metadata are asked for, and what has changed is read.
        """
        now = trio.current_time()
        if now >= self._next_look:
            self._next_look = now + LOOK_INTERVAL
            self._look_again()
        return ProvidedCredentials(entries=self._keyring.lookup(image))

    def _read_all(self) -> None:
        problems = Problems()
        payloads: list[Payload] = []
        for path in find_payload_files(self._location):
            with problems.collected():
                payloads.append(read_payload(path))
        problems.raise_if_any()
        self._use(payloads)
        self._say(())

    def _look_again(self) -> None:
        try:
            paths = find_payload_files(self._location, by_name)
        except UsageError as error:
            self._say(f"{problem}; what was read before stays in use" for problem in error.problems)
            return
        payloads = [payload for path in paths if (payload := self._current(path))]
        if payloads != list(self._payloads.values()):
            self._use(payloads)
        self._refused = {path: refused for path, refused in self._refused.items() if path in paths}
        self._say(complaint for _, complaint in self._refused.values())

    def _current(self, path: Path) -> Payload | None:
        """The file's content: as it was, read anew where it has changed, the old one where the new one is bad."""
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
            consequence = "what was read before stays in use" if old else "it is left out"
            self._refused[path] = (now, f"{error}; {consequence}")
            return old
        self._refused.pop(path, None)
        return new

    def _use(self, payloads: Iterable[Payload]) -> None:
        self._payloads = {payload.path: payload for payload in payloads}
        self._keyring = Keyring(entry for payload in self._payloads.values() for entry in payload.entries)

    def _say(self, complaints: Iterable[str]) -> None:
        """Warn of what is wrong now and was not before."""
        warnings = dict.fromkeys(warning for payload in self._payloads.values() for warning in payload.warnings)
        warnings |= dict.fromkeys(complaints)
        for warning in warnings:
            if warning not in self._said:
                self._warn(warning)
        self._said = frozenset(warnings)


def _read_file(path: Path, found: Fingerprint | None) -> Payload:
    if found is None:  # opening what is no file might wait for its other end
        raise UsageError([f"{by_name(path)}: is not a file that can be read"])
    return read_payload(path, by_name)
