"""A directory that goes away with this process, however it ends."""

import os
import shutil
import tempfile
from pathlib import Path


def temporary_directory() -> Path:
    """Create one that only this user can enter. A second process waits for the end of this one, and then removes it.

    Raises:
        OSError: no directory can be written.
    """
    directory = tempfile.mkdtemp(prefix="kubectl-nodeprefetch-")
    ours, _ = os.pipe()  # programs that this process starts do not inherit them
    if os.fork() == 0:
        try:
            os.setsid()  # Ctrl-C is not for this one
            os.dup2(ours, 3)
            os.closerange(4, 65536)  # the other end, and whatever this process was started with
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):  # readers of our output wait until all have closed it
                os.dup2(nothing, stream)
            os.read(3, 1)  # nobody writes: this is the end of the other process
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            os._exit(0)
    os.close(ours)
    return Path(directory)
