"""Find the shared libraries of programs, as the dynamic loader does, and copy them to the same paths."""

import re
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

C_LIBRARY = re.compile(
    r"(ld-linux.*|ld64|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnss_\w+|libanl|ld)[.-].*so.*|.*/ld64\.so\..*"
)
"""Files of the C library, which only work together."""

_ELSEWHERE = Path("/usr/lib")
"""Target of libraries that the build found through a cache or a custom path: the loader's default path."""

_LOADED_LATE = "libgcc_s.so.1"
"""The C library loads it itself when a thread ends by pthread_exit, as remaining threads do at Python's exit.
No program lists it. Without it, the process aborts there."""

_LINE = re.compile(r"(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)")


@dataclass(frozen=True, kw_only=True)
class Library:
    """One shared library."""

    source: Path
    """Its path, links resolved."""

    place: Path
    """Where the loader looks for it: the requested name, in a directory with links resolved."""

    @property
    def name(self) -> str:
        """The requested name: `libz.so.1`."""
        return self.place.name


def libraries_of(files: Iterable[Path]) -> list[Library]:
    """Return the libraries of these programs and modules, and the libraries' dependencies.

    Raises:
        FileNotFoundError: a library is not installed.
    """
    found: dict[Path, Library] = {}
    for file in files:
        if file.is_file() and (file.suffix == ".so" or file.stat().st_mode & stat.S_IXUSR) and _is_elf(file):
            listed = subprocess.run(["ldd", file], check=True, capture_output=True, text=True).stdout
            if "not found" in listed:
                raise FileNotFoundError(f"{file} needs missing libraries:\n{listed}")
            for line in listed.splitlines():
                if match := _LINE.search(line):
                    path = Path(match[1])
                    place = path.parent.resolve() / path.name
                    if not place.is_relative_to("/usr/lib") and not place.is_relative_to("/usr/lib64"):
                        place = _ELSEWHERE / path.name
                    found[place] = Library(source=path.resolve(), place=place)
    for place in [place for place in found if place.name == "libc.so.6"]:
        late = place.with_name(_LOADED_LATE)
        found[late] = Library(source=late.resolve(strict=True), place=late)
    return [found[place] for place in sorted(found)]


def copy_libraries(libraries: Iterable[Library], layer: Path) -> None:
    """Copy them. Creates the directory even if there are none."""
    layer.mkdir(parents=True, exist_ok=True)
    for library in libraries:
        target = layer / library.place.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library.source, target)
        target.chmod(0o755)


def lacking(libraries: Iterable[Library], root: Path) -> list[Library]:
    """Return those that the distribution below a directory does not have."""
    return [library for library in libraries if not (root / library.place.relative_to("/")).exists()]


def strip(root: Path, pattern: str = "*.so*") -> None:
    """Remove symbols that only debuggers read: some wheels have more of them than code.

    Args:
        root: directory to search.
        pattern: names of the files.

    Raises:
        FileNotFoundError: `strip` (binutils) is missing.
    """
    files = [path for path in sorted(root.rglob(pattern)) if path.is_file() and _is_elf(path)]
    if files:
        subprocess.run(["strip", "--strip-unneeded", *files], check=True)


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"
