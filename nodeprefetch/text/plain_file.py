"""Opens and reads files, and never waits for that: opening a FIFO would, until somebody writes into it."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_HANDED_OVER = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
"""Where a pipe is one that our parent has opened for us, as a shell does for `<(command)`."""


def read_plain_file(path: Path, limit: int) -> bytes:
    """The content of a file.

    Args:
        path: links are followed.
        limit: bytes it may have.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than the limit.
    """
    with os.fdopen(_open(path), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return content


def open_given(path: str | Path) -> BinaryIO:
    """Open a file that the user has named: a regular file, or a pipe handed over by a shell (`<(command)`).

    Reading such a pipe waits for the command. Nothing else is waited for: not for a writer of a FIFO, not for a device.

    Raises:
        OSError: it cannot be opened, or is neither of them.
        ValueError: the path holds a NUL.
    """
    number = _open(path)
    kind = os.fstat(number).st_mode
    is_handed_over = stat.S_ISFIFO(kind) and str(path).startswith(_HANDED_OVER)
    if not (stat.S_ISREG(kind) or is_handed_over):
        os.close(number)
        reason = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
        raise OSError(reason, os.strerror(reason) if reason == errno.EISDIR else "not a regular file", str(path))
    os.set_blocking(number, True)
    return os.fdopen(number, "rb")


def _open(path: str | Path) -> int:
    """A descriptor, without waiting for somebody at the other end."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
