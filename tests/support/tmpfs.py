"""A small file system in memory, to be filled up. Needs root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.spawn import DaemonError


@contextmanager
def mounted_tmpfs(directory: Path, *, size: int) -> Iterator[Path]:
    """Mount a tmpfs for the block.

    Args:
        directory: mount point; created if missing.
        size: bytes that fit in.

    Raises:
        DaemonError: it cannot be mounted; the text has the reason.
    """
    directory.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "nodeprefetch-test", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DaemonError(f"No tmpfs at {directory}: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        # lazily: a daemon that was killed may leave something mounted inside
        subprocess.run(["umount", "--lazy", str(directory)], check=True, capture_output=True)
