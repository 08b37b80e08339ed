"""Build `kubectl-nodeprefetch`: one executable file with the program, its dependencies, and what unpacks them.

    build.py --wheel FILE --requirements FILE --cache DIR --work DIR --out FILE

The wheel is ours; the requirements have hashes. What they install is kept in the cache, a directory for these
requirements alone. The same inputs make the same bytes.
"""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imagebuild.distributions import copy_distributions, needed_by

from kubectlplugin.archive import zip_of
from kubectlplugin.wheels import PYTHONS, TARGETS, install_all, install_wheel, read_requirements

BOOT = Path(__file__).parent / "boot"
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "from boot.main import main\n\nmain()\n"


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("wheel", "requirements", "cache", "work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    work: Path = options.work

    cache: Path = options.cache
    if not cache.exists():
        install_all(read_requirements(options.requirements.read_text("utf-8")), work / "wheels")
        (work / "wheels").rename(cache)
    shutil.copytree(cache / "common", work / "installed")
    install_wheel(options.wheel, work / "installed")
    wanted = needed_by("nodeprefetch", work / "installed")
    copy_distributions(wanted, work / "installed", work / "common")
    archives = {"common.zip": zip_of(_files(work / "common", compiled=False))}
    for target in TARGETS:
        _check_same_sources(cache / target, work / "common")
        archives[f"{target}.zip"] = zip_of(_files(cache / target, compiled=True))
    options.out.write_bytes(executable(wanted[0].version, archives))
    options.out.chmod(0o755)


def executable(version: str, archives: Mapping[str, bytes]) -> bytes:
    """Return the file.

    Args:
        version: of the program.
        archives: by name: `common.zip`, and one of compiled modules for each target.
    """
    digest = hashlib.sha256(b"".join(archives[name] for name in sorted(archives))).hexdigest()[:16]
    contents = {
        "VERSION": version,
        "DIGEST": digest,
        "OLDEST": PYTHONS[0],
        "NEWEST": PYTHONS[-1],
        "TARGETS": tuple(name.removesuffix(".zip") for name in archives if name != "common.zip"),
    }
    boot = {f"boot/{path.name}": path.read_bytes() for path in BOOT.glob("*.py")}
    boot["boot/contents.py"] = "".join(f"{name} = {value!r}\n" for name, value in contents.items()).encode()
    # Archives in the archive: Python reads the list of files at each start, and it is short.
    return zip_of({"__main__.py": MAIN.encode(), **boot, **archives}, begin=SHEBANG, stored=archives)


def _files(directory: Path, *, compiled: bool) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and (path.suffix == ".so") is compiled
    }


def _check_same_sources(target: Path, common: Path) -> None:
    """Check that a target needs no other modules than those all targets share."""
    for path in target.rglob("*.py"):
        if path.read_bytes() != (common / path.relative_to(target)).read_bytes():
            raise ValueError(f"differs between platforms: {path.relative_to(target)}")


if __name__ == "__main__":
    main()
