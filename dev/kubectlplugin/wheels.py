"""Install the locked wheels of each target. pip checks their hashes and accepts no sources."""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
COMPILED = ("msgspec", "pyyaml")
"""Packages with extension modules that the file contains. All others have wheels for every platform; some are faster
with extension modules, which does not matter here."""

_LINUX = ("x86_64", "aarch64")
_PLATFORMS = {
    **{
        f"{cpu}-linux-gnu": [f"manylinux_2_17_{cpu}", f"manylinux2014_{cpu}", f"manylinux_2_28_{cpu}"] for cpu in _LINUX
    },
    **{f"{cpu}-linux-musl": [f"musllinux_1_1_{cpu}", f"musllinux_1_2_{cpu}"] for cpu in _LINUX},
    "darwin-x86_64": ["macosx_10_15_x86_64"],  # and older ones
    "darwin-arm64": ["macosx_12_0_arm64"],
}
"""pip's names of the platforms whose wheels run there."""

TARGETS = {
    f"cpython-{major}{minor}-{platform}": (f"{major}.{minor}", tags)
    for major, minor in PYTHONS
    for platform, tags in _PLATFORMS.items()
}
"""Version and platforms by the name that `boot/start.py` gives to the Python that runs it."""

Locked = Mapping[str, str]
"""By name, the lines of a requirement with its hashes."""


def read_requirements(text: str) -> Locked:
    """Return the requirements of a file that `dev/lock` wrote, except those for Windows.

    Raises:
        ValueError: one of them depends on Python or the platform, which pip would answer for this machine.
    """
    locked = {}
    for lines in re.findall(r"^[a-z0-9](?:.*\\\n)*.*\n", text, re.MULTILINE):
        name, _, marker = lines.partition("\\")[0].partition(";")
        if "os_name == 'nt'" in marker:
            continue
        if marker.strip():
            raise ValueError(f"a requirement for some Pythons or platforms only: {name.strip()} ; {marker.strip()}")
        locked[name.partition("==")[0].strip()] = lines
    return locked


def install_all(locked: Locked, place: Path) -> None:
    """Install the requirements.

    Args:
        locked: the requirements.
        place: gets a directory `common`, with all of them for the first target, and one for each target, with the
            compiled ones.
    """
    oldest = ".".join(map(str, PYTHONS[0]))
    anywhere = ("--implementation=py", "--abi=none", "--platform=any", f"--python-version={oldest}")
    _install({name: lines for name, lines in locked.items() if name not in COMPILED}, place / "common", anywhere)
    _install_compiled(locked, next(iter(TARGETS)), place / "common")
    with ThreadPoolExecutor(4) as pool:  # they wait for the index most of the time
        list(pool.map(lambda target: _install_compiled(locked, target, place / target), TARGETS))


def install_wheel(wheel: Path, place: Path) -> None:
    """Install a wheel beside its requirements."""
    _pip_install(place, "--no-index", str(wheel))


def _install_compiled(locked: Locked, target: str, place: Path) -> None:
    version, platforms = TARGETS[target]
    flags = ("--implementation=cp", f"--python-version={version}", *(f"--platform={each}" for each in platforms))
    _install({name: locked[name] for name in COMPILED}, place, flags)


def _install(wanted: Locked, place: Path, flags: Iterable[str]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    requirements = place.with_name(f"{place.name}.txt")
    requirements.write_text("".join(wanted.values()), "utf-8")
    _pip_install(place, "--require-hashes", *flags, "--requirement", str(requirements))


def _pip_install(place: Path, *flags: str) -> None:
    pip = (sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps", "--no-compile")
    subprocess.run([*pip, "--only-binary=:all:", f"--target={place}", *flags], check=True)
