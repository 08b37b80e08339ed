"""Install the program as users do: from its wheel, with only production requirements, compiled."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PLACE = Path(".cache/bench-venv")
_REQUIREMENTS = Path("dev/requirements/run.txt")


@dataclass(frozen=True, kw_only=True)
class Product:
    """An installation."""

    python: str
    program: str
    """The console script."""

    version: str


def install() -> Product:
    """Return the installation; installs again when requirements or sources changed.

    The environment for development would not do: betterproto2 loads pydantic where that is installed.
    """
    place = _PLACE.absolute()
    python = place / "bin" / "python"
    stamp = place / "stamp"
    wanted = _state()
    if not stamp.exists() or stamp.read_text() != wanted:
        sys.stderr.write("bench: installing the program into its own environment\n")
        base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        if not python.exists():
            subprocess.run([base, "-m", "venv", place], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--requirement", _REQUIREMENTS], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--force-reinstall", "."], check=True)
        stamp.write_text(wanted)
    program = str(place / "bin" / "nodeprefetch")
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return Product(python=str(python), program=program, version=version)


def _state() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in [
        _REQUIREMENTS,
        Path("pyproject.toml"),
        *sorted(Path().glob("nodeprefetch/**/*.py")),
        *sorted(Path().glob("plugins/**/*.py")),
    ]:
        digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
