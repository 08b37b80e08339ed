"""Starts the program from unpacked files, which only the first start of a version has to unpack."""

import os
import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NoReturn

from .cache import UnusableCacheError, cache_of_user, find_unpacked
from .contents import DIGEST, NEWEST, OLDEST, TARGETS, VERSION
from .other_python import CANNOT_START


def start() -> None:
    """Run the program with the command line of this process, and exit with its code."""
    target = this_target()
    if target not in TARGETS:
        _fail(
            f"cannot run with {sys.executable}: no compiled modules for {target} (use CPython "
            f"{_dotted(OLDEST)} to {_dotted(NEWEST)} on Linux or macOS, amd64 or arm64, or: pip install nodeprefetch)"
        )
    name = f"{VERSION}-{DIGEST}-{target}"
    try:
        unpacked, is_kept = _unpacked(name, target)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.path[:] = [str(unpacked), *standard_library(sys.path)]
    sys.dont_write_bytecode = not is_kept  # images of Python forbid it, but then each start would compile everything
    sys.pycache_prefix = None
    try:
        import msgspec  # noqa: F401, PLC0415 - compiled
    except ImportError as error:
        _fail(
            f"cannot load compiled modules from {unpacked}: {error} "
            "(if its file system is mounted noexec, set XDG_CACHE_HOME to a directory on another one)"
        )
    from nodeprefetch.__main__ import kubectl_plugin  # noqa: PLC0415

    kubectl_plugin()


def this_target() -> str:
    """Name of the compiled modules that this Python needs: that of its extensions, on macOS with the processor."""
    tag = EXTENSION_SUFFIXES[0].strip(".").partition(".")[0]
    return f"{tag}-{os.uname().machine}" if sys.platform == "darwin" else tag


def standard_library(path: Iterable[str]) -> list[str]:
    """Of a module path, what belongs to Python itself: nothing that is installed elsewhere may mix with our files."""
    version = sys.version_info
    names = {f"python{version[0]}.{version[1]}", f"python{version[0]}{version[1]}.zip", "lib-dynload"}
    return [each for each in path if os.path.basename(each) in names]  # noqa: PTH119 - a string, as in sys.path


def _unpacked(name: str, target: str) -> tuple[Path, bool]:
    """The directory with the files, and whether it is kept for the next start."""
    try:
        return find_unpacked(cache_of_user(os.environ), name, lambda place: _unpack(place, target)), True
    except UnusableCacheError as unusable:
        from .temporary import temporary_directory  # noqa: PLC0415 - only where it is needed

        sys.stderr.write(
            f"kubectl-nodeprefetch: {unusable}; unpacking into a temporary directory, which takes seconds at each "
            "start (set XDG_CACHE_HOME to a directory that you alone can write)\n"
        )
        try:
            place = temporary_directory()
            _unpack(place, target)
        except OSError as error:
            _fail(f"cannot unpack: {error} (set XDG_CACHE_HOME or TMPDIR to a writable directory)")
        return place, False


def _unpack(place: Path, target: str) -> None:
    from .unpack import unpack  # noqa: PLC0415 - only where it is needed

    unpack(("common.zip", f"{target}.zip"), place)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _fail(text: str) -> NoReturn:
    sys.stderr.write(f"kubectl-nodeprefetch: {text}\n")
    sys.exit(CANNOT_START)
