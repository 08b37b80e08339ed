"""Copy the running Python: its binary, and the modules of the standard library that are useful in the image."""

import re
import shutil
import sys
import sysconfig
from pathlib import Path

NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = f"usr/local/bin/{NAME}"
"""Paths in the image, without the leading slash. The same for every Python, wherever it was installed."""

STANDARD_LIBRARY = f"usr/local/lib/{NAME}"
SITE_PACKAGES = f"{STANDARD_LIBRARY}/site-packages"

# The rest stays, also modules that nodeprefetch does not import: plugins may need them.
_UNWANTED = re.compile(
    r"""
    __pycache__ | test | tests | idlelib | tkinter | turtle(demo|\.py) | lib2to3 | pydoc_data | ensurepip | venv
    | distutils | _distutils_system_mod\.py | site-packages | dist-packages | config-.* | curses | msilib | _pyrepl
    | __phello__.* | EXTERNALLY-MANAGED
    | (antigravity|this|sitecustomize|_aix_support|_osx_support|_ios_support|_android_support|_apple_support)\.py
    | (readline|_curses|_curses_panel|_dbm|_gdbm|_tkinter|nis|ossaudiodev|_crypt|_codecs_(cn|hk|jp|kr|tw|iso2022)
      |_multibytecodec|_test.*|_xx.*|xx.*|_ctypes_test)\.(cpython|abi3).*\.so
    | .*\.(a|o|pyi|exe|bat|sh|ps1|fish|csh|txt|md|css|xbm|gif|png|ico|pickle)
    """,
    re.VERBOSE,
)


def copy_interpreter(layer: Path) -> None:
    """Copy the binary."""
    program = layer / PYTHON
    program.parent.mkdir(parents=True)
    shutil.copyfile(Path(sys.executable).resolve(), program)
    program.chmod(0o755)


def copy_standard_library(layer: Path) -> None:
    """Copy the modules, and the license if it is among them."""
    source = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(source, layer / STANDARD_LIBRARY, ignore=_unwanted, symlinks=False)
    license_text = source / "LICENSE.txt"
    if license_text.exists():
        place = layer / "usr/share/doc/python"
        place.mkdir(parents=True)
        shutil.copyfile(license_text, place / "LICENSE.txt")


def _unwanted(_directory: str, names: list[str]) -> set[str]:
    return {name for name in names if _UNWANTED.fullmatch(name)}
