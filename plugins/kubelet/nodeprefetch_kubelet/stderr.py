"""Keeps the end of a program's stderr, and makes it safe to log."""

import re
from collections.abc import Mapping

from nodeprefetch.credentials import scrub
from nodeprefetch_kubelet.protocol import passwords_in

MAX_KEPT = 16 << 10
"""Bytes. Errors are at the end, so the end is kept."""

_SHARED = (re.compile(rb"[^\s\"'\\]{8,}"), re.compile(rb"[^\s\"'\\=:,;|&<>(){}\[\]]{8,}"))
"""Words, and the parts of `name=value`."""
_SEARCHED = 64 << 10
_MOST_PASSWORDS = 100
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY")
_PLACE_NAME = re.compile(r"(?:FILE|PATH|DIR|URI|URL|CREDENTIALS|ID|PROFILE|NAME)\Z")
_SHORTEST_VALUE = 8


class Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_cut = False

    def add(self, data: bytes | bytearray) -> None:
        """Append data."""
        self._data += data
        if len(self._data) > MAX_KEPT:
            del self._data[:-MAX_KEPT]
            self._is_cut = True

    @property
    def data(self) -> bytes:
        """The bytes, without the first word if the beginning is lost: half a secret would not be recognized."""
        if not self._is_cut:
            return bytes(self._data)
        parts = self._data.split(maxsplit=1)
        return bytes(parts[1]) if len(parts) > 1 else b""


def readable(stderr: bytes, *, stdout: bytes, env: Mapping[str, str], token: str | None) -> str:
    """Return one line for the log; empty if nothing was written.

    Masks, in addition to what `scrub` recognizes by its form: the token, the values of variables whose names suggest
    secrets, and every word that is also on stdout, where the credentials are.
    """
    secrets = [token or ""]
    secrets += [value for name, value in env.items() if len(value) >= _SHORTEST_VALUE and _is_of_secret(name)]
    secrets += passwords_in(stdout)[:_MOST_PASSWORDS]
    return scrub(_without_shared_words(stderr, stdout[:_SEARCHED]).decode("utf-8", "replace"), secrets)


def _is_of_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name.upper())) and not _PLACE_NAME.search(name.upper())


def _without_shared_words(stderr: bytes, stdout: bytes) -> bytes:
    for pattern in _SHARED:
        stderr = pattern.sub(lambda word: b"***" if word[0] in stdout else word[0], stderr)
    return stderr
