"""The programs of this checkout, for a shell."""

import sys
import tomllib
from pathlib import Path

from tests.e2e.installation import ROOT


def install_programs(directory: Path) -> None:
    """Put the programs of this checkout where a shell finds them, as pip would."""
    directory.mkdir()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    python = f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable}"
    texts = {"nodeprefetch-deploy": f'{python} -m deploy_gen "$@"\n'}
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        texts[name] = f"{python} -c 'import sys; from {module} import {function}; sys.exit({function}())' \"$@\"\n"
    # The packages are not at an index yet, and none is in reach from the cluster: pip has nothing to do.
    texts["pip"] = '#!/bin/sh\n[ "$*" = "install nodeprefetch-deploy nodeprefetch" ]\n'
    for name, text in texts.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
