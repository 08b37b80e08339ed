"""Makes a containerd slow at unpacking, as on a node whose processors or disk are overloaded."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

_UNPIGZ = """\
#!/bin/sh
exec {python} -IS -c 'import os, sys, time; time.sleep({seconds}); os.execvp("gzip", ["gzip", *sys.argv[1:]])' "$@"
"""


def slow_unpack(directory: Path, seconds: float) -> Mapping[str, str]:
    """What a `Containerd` has to find in its environment to take so much longer for each layer.

    containerd unpacks gzip by `unpigz` where that is in its PATH.

    Args:
        directory: where a program of that name is written to.
        seconds: for a layer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "unpigz"
    program.write_text(_UNPIGZ.format(python=shlex.quote(sys.executable), seconds=seconds))
    program.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"}
