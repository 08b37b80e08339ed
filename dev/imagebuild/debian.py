"""Find the Debian packages of files, and their licenses. On other distributions, there are none."""

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_DOCUMENTS = Path("/usr/share/doc")
_FIELDS = ("Package", "Version", "Architecture", "source:Package")


@dataclass(frozen=True, kw_only=True, order=True)
class Package:
    """An installed package."""

    name: str
    version: str
    architecture: str
    source: str


def owners(files: Iterable[Path]) -> list[Package]:
    """Return the packages of these files. Files created by package scripts are looked up by name."""
    if shutil.which("dpkg-query") is None:
        return []
    return sorted({package for file in files for package in _owner(file)})


def copyrights(package: Package) -> dict[str, str]:
    """Return the licenses: `PACKAGE/copyright` and the text. Empty if the installation omits them."""
    file = _DOCUMENTS / package.name / "copyright"
    return {f"{package.name}/copyright": file.read_text(errors="replace")} if file.exists() else {}


def _owner(file: Path) -> list[Package]:
    if file.name == "ca-certificates.crt":
        return _packages("ca-certificates")
    # dpkg knows a file by its path in the package, which may contain the link /lib -> usr/lib.
    for path in (str(file), str(file).removeprefix("/usr")):
        found = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True, check=False)
        if not found.returncode:
            return _packages(found.stdout.rpartition(": ")[0].split(", ")[0])
    return []


def _packages(name: str) -> list[Package]:
    pattern = "\t".join(f"${{{field}}}" for field in _FIELDS) + "\n"
    shown = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={pattern}", name], capture_output=True, text=True, check=True
    ).stdout
    return [
        Package(name=package, version=version, architecture=architecture, source=source)
        for package, version, architecture, source in (line.split("\t") for line in shown.splitlines())
    ]
