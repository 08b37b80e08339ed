"""Reads a small regular file, and never waits: opening a FIFO would, until somebody writes into it."""

import errno
import os
import stat
from pathlib import Path


def read_plain_file(path: Path, limit: int) -> bytes:
    """The content of a file.

    Args:
        path: links are followed.
        limit: bytes it may have.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than the limit.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return content
