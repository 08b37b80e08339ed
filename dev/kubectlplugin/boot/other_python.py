"""Starts the file with a suitable Python of the PATH. Python 2.7 can read this module."""

import os
import subprocess
import sys

from .contents import NEWEST, OLDEST

CANNOT_START = 3
"""Exit code: also that of commands which cannot ask the cluster. `wait` has other meanings for 1 and 2."""


def run_with_another():
    """Replace this process by a suitable Python that runs the same command. Returns an exit code if there is none."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        for directory in os.environ.get("PATH", "").split(os.pathsep):
            python = os.path.join(directory, "python3.%d" % minor)
            if directory and os.access(python, os.X_OK) and _is_suitable(python):
                os.execv(python, [python] + sys.argv)
    sys.stderr.write(
        "kubectl-nodeprefetch: cannot run with %s: it is Python %d.%d (install Python %d.%d to %d.%d)\n"
        % ((sys.executable,) + sys.version_info[:2] + OLDEST + NEWEST)
    )
    return CANNOT_START


def _is_suitable(python):
    """Whether it starts, and is the version that its name says: pyenv's programs may be neither."""
    test = "import sys; sys.exit(not %r <= sys.version_info[:2] <= %r)" % (OLDEST, NEWEST)
    with open(os.devnull, "r+") as nothing:
        return subprocess.call([python, "-I", "-S", "-c", test], stdin=nothing, stdout=nothing, stderr=nothing) == 0
