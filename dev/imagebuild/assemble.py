"""Lay out the image's files, one directory per layer, from the running Python and the packages that pip installed.

    assemble.py --installed DIR --license FILE --distro DIR --out DIR

The last DIR gets `system` (the C library, certificates, accounts), `libraries` (what Python needs besides), `python`,
`dependencies`, `product`, and `distro-libraries`: those of the libraries that the distribution at --distro lacks.
"""

import argparse
import asyncio
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imagebuild.bytecode import compile_all
from imagebuild.debian import copyrights, owners
from imagebuild.distributions import copy_distributions, needed_by
from imagebuild.interpreter import PYTHON, SITE_PACKAGES, copy_interpreter, copy_standard_library
from imagebuild.libraries import C_LIBRARY, Library, copy_libraries, lacking, libraries_of, strip
from imagebuild.sbom import Component, bill_of_materials, of_debian, of_distribution, of_python

PLUGINS = "/plugins"
PROGRAM = "usr/bin/nodeprefetch"
LICENSES = "usr/share/doc"
COMMON_LICENSES = Path("/usr/share/common-licenses")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SBOM = "usr/share/sbom/nodeprefetch.cdx.json"
NOBODY = 65532

HELPFUL = ("nodeprefetch", "nodeprefetch_kubelet", "nodeprefetch_pull_secrets", "cyclopts")
"""Packages whose docstrings are the commands' help."""

# -S: without `site`, so no .pth files and user directories; saves a millisecond and 0.3 MiB.
# -P: not the script's directory; -B: no bytecode written next to plugins.
LAUNCHER = """\
#!/{python} -SPB
import sys
sys.path += ["/{site_packages}", "{plugins}"]
from nodeprefetch.__main__ import main
main()
"""

PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{NOBODY}:{NOBODY}:nonroot:/:/sbin/nologin\n"
GROUP = f"root:x:0:\nnonroot:x:{NOBODY}:\n"


def main() -> None:
    """Lay out all layers."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("installed", "license", "distro", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out

    product, *dependencies = needed_by("nodeprefetch", options.installed)
    copy_interpreter(out / "python")
    copy_standard_library(out / "python")
    copy_distributions(dependencies, options.installed, out / "dependencies" / SITE_PACKAGES)
    copy_distributions([product], options.installed, out / "product" / SITE_PACKAGES)
    compile_all([out / part for part in ("python", "dependencies", "product")], described=HELPFUL)

    strip(out / "python")
    strip(out / "dependencies")
    libraries = libraries_of(path for part in ("python", "dependencies") for path in (out / part).rglob("*"))
    c_library = [library for library in libraries if C_LIBRARY.fullmatch(library.name)]
    others = [library for library in libraries if library not in c_library]
    copy_libraries(c_library, out / "system")
    copy_libraries(others, out / "libraries")
    copy_libraries(lacking(others, options.distro), out / "distro-libraries")
    for part in ("libraries", "distro-libraries"):
        strip(out / part, "libpython*")  # Debian's libraries stay unchanged

    shutil.copytree(Path(__file__).with_name("licenses"), out / "dependencies" / LICENSES)  # for wheels without one
    launcher = LAUNCHER.format(python=PYTHON, site_packages=SITE_PACKAGES, plugins=PLUGINS)
    _write(out / "product" / PROGRAM, launcher, mode=0o755)
    _write(out / "product" / LICENSES / "nodeprefetch" / "LICENSE", options.license.read_text())
    _lay_out_system(out / "system")
    components = [of_python(), *map(of_distribution, dependencies)]
    _account_for_debian(out, c_library, others, components)
    _write(out / "product" / SBOM, bill_of_materials(of_distribution(product), components))
    _make_the_same_every_time(out)


def _lay_out_system(system: Path) -> None:
    """Create the system files that programs expect, for the image without a distribution."""
    _write(system / "etc/passwd", PASSWD)
    _write(system / "etc/group", GROUP)
    _write(system / "etc/nsswitch.conf", "hosts: files dns\n")
    _write(system / CERTIFICATES.relative_to("/"), CERTIFICATES.read_text())
    (system / "usr/lib/ssl").mkdir(parents=True)
    (system / "usr/lib/ssl/cert.pem").symlink_to(CERTIFICATES)  # OpenSSL's default path
    (system / "usr/lib/ssl/certs").symlink_to(CERTIFICATES.parent)
    for directory in ("lib", "lib64"):
        (system / "usr" / directory).mkdir(exist_ok=True)
        (system / directory).symlink_to(f"usr/{directory}")
    (system / "tmp").mkdir(mode=0o1777)
    (system / "tmp").chmod(0o1777)


def _account_for_debian(
    out: Path, c_library: list[Library], others: list[Library], components: list[Component]
) -> None:
    """Copy licenses of the files' packages into the files' layer; add the packages to the list."""
    sources = {
        "system": [CERTIFICATES, *(library.source for library in c_library)],
        "libraries": [library.source for library in others],
        "python": [Path(sys.executable).resolve(), Path(os.__file__), Path(asyncio.__file__)],
    }
    for layer, files in sources.items():
        for package in owners(files):
            components.append(of_debian(package))
            for name, text in copyrights(package).items():
                _write(out / layer / LICENSES / name, text)
    referred = (
        {path.name for path in COMMON_LICENSES.iterdir() if path.is_file()} if COMMON_LICENSES.is_dir() else set()
    )
    texts = "".join(path.read_text(errors="replace") for path in out.glob(f"*/{LICENSES}/*/copyright"))
    for name in sorted(referred):
        if f"common-licenses/{name}" in texts:
            _write(out / "system" / "usr/share/common-licenses" / name, (COMMON_LICENSES / name).read_text())


def _make_the_same_every_time(out: Path) -> None:
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    for path in [out, *out.rglob("*")]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


if __name__ == "__main__":
    shutil.rmtree(sys.argv[sys.argv.index("--out") + 1], ignore_errors=True)
    main()
