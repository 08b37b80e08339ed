"""A bearer token in a file that somebody renews: a projected service account token."""

import os
import re
from pathlib import Path

from nodeprefetch.errors import UsageError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""`b64token`, RFC 6750 section 2.1."""

_MAX_SIZE = 64 * 1024
"""Bytes. A token travels in a header; servers take 8 to 64 KiB of those."""


class TokenFile:
    """Gives the token that is in the file now. It is read again when the file is another one or has been written.

    Reading blocks, for what a small file in memory (tmpfs) takes.

    Args:
        path: of the file; a link is followed each time, as the kubelet renews by moving one.

    Raises:
        UsageError: the file cannot be read, or holds no token.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._token = ""
        try:
            self._read()
        except OSError as error:
            raise UsageError([f"cannot read the token file {path!r}: {error.strerror or error}"]) from error
        except ValueError as error:
            raise UsageError([f"the token file {path!r} {error}"]) from None

    def token(self) -> str:
        """The token. While the file is missing or holds none, the last one."""
        try:
            self._read()
        except (OSError, ValueError):
            return self._token
        return self._token

    def forget(self) -> None:
        """It was refused: read the file the next time, whatever its date says."""
        self._seen = None

    def _read(self) -> None:
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
            if version == self._seen:
                return
            raw = file.read(_MAX_SIZE + 1)
        if len(raw) > _MAX_SIZE:
            raise ValueError(f"is larger than the {_MAX_SIZE} bytes a token can have")
        text = raw.strip().decode("ascii", "replace")
        if not _TOKEN.fullmatch(text):
            raise ValueError("holds no bearer token" if text else "is empty")
        self._token, self._seen = text, version

    def __repr__(self) -> str:
        return f"TokenFile({str(self._path)!r})"
