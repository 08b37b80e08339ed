"""Opens and reads files without blocking: opening a FIFO would block until somebody writes to it."""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

_PASSED = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
"""A pipe at these paths was opened by our parent, as a shell does for `<(command)`."""


def read_plain_file(path: Path, limit: int) -> bytes:
    """Read a file.

    Args:
        path: the file; links are followed.
        limit: maximum size in bytes.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is larger than the limit.
    """
    with os.fdopen(_open(path), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return content


def open_given(path: str | Path) -> BinaryIO:
    """Open a file named by the user: a regular file, or a pipe passed by a shell (`<(command)`).

    Reading such a pipe blocks until the command writes. FIFOs and devices are refused, as they could block.

    Raises:
        OSError: the file cannot be opened, or is neither of these.
        ValueError: the path contains a NUL byte.
    """
    number = _open(path)
    kind = os.fstat(number).st_mode
    is_passed = stat.S_ISFIFO(kind) and str(path).startswith(_PASSED)
    if not (stat.S_ISREG(kind) or is_passed):
        os.close(number)
        reason = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
        raise OSError(reason, os.strerror(reason) if reason == errno.EISDIR else "not a regular file", str(path))
    os.set_blocking(number, True)
    return os.fdopen(number, "rb")


def read_given(path: str, most: int) -> bytes:
    """Read the beginning of a file named by the user, see `open_given`; `-` is standard input.

    Raises:
        OSError: it cannot be read.
        ValueError: the path contains a NUL byte.
    """
    if path == "-":
        return sys.stdin.buffer.read(most)
    with open_given(path) as file:
        return file.read(most)


def _open(path: str | Path) -> int:
    """Open without blocking. Returns a file descriptor."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
