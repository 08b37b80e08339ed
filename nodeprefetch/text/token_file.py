"""Reads a bearer token from a file each time it is used, as a renewed file may look the same from outside."""

import re
from contextlib import suppress
from pathlib import Path

from nodeprefetch.errors import UsageError
from nodeprefetch.text.plain_file import read_plain_file

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""`b64token`, RFC 6750 section 2.1."""

_MAX_SIZE = 64 * 1024
"""Bytes. A token travels in a header; servers take 8 to 64 KiB of those."""


class TokenFile:
    """A file with a bearer token.

    Reading blocks, for as long as a small file in memory (tmpfs) takes.

    Args:
        path: of a regular file; a link is followed each time, as the kubelet renews by moving one.

    Raises:
        UsageError: the file cannot be read, or holds no token.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._token = ""
        try:
            self._refresh()
        except OSError as error:
            raise UsageError([f"cannot read token file {str(path)!r}: {error.strerror or error}"]) from error
        except ValueError as error:
            raise UsageError([f"token file {str(path)!r} {error}"]) from None

    def token(self) -> str:
        """The token. While the file is missing or holds none, the last one."""
        with suppress(OSError, ValueError):
            self._refresh()
        return self._token

    def _refresh(self) -> None:
        text = read_plain_file(self._path, _MAX_SIZE).strip().decode("ascii", "replace")
        if not _TOKEN.fullmatch(text):
            raise ValueError("does not contain a valid bearer token" if text else "is empty")
        self._token = text

    def __repr__(self) -> str:
        return f"TokenFile({str(self._path)!r})"
