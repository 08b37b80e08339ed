"""Write what krew needs to install the kubectl plugin: an archive and a manifest.

krew.py --version X.Y.Z --file FILE --license FILE --out DIR
"""

import argparse
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kubectlplugin.archive import tar_gz_of
from kubectlplugin.wheels import PYTHONS

TEMPLATE = Path(__file__).with_name("nodeprefetch.yaml")
PROGRAM = "kubectl-nodeprefetch"


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True)
    for name in ("file", "license", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    files = {PROGRAM: options.file.read_bytes(), "LICENSE": options.license.read_bytes()}
    archive = tar_gz_of(files, executable=[PROGRAM])
    (options.out / f"{PROGRAM}.tar.gz").write_bytes(archive)
    (options.out / TEMPLATE.name).write_text(manifest(options.version, archive), "utf-8")


def manifest(version: str, archive: bytes) -> str:
    """Return the manifest of a version whose archive this is."""
    oldest, newest = (".".join(map(str, version)) for version in (PYTHONS[0], PYTHONS[-1]))
    values = {"TAG": f"v{version}", "SHA256": hashlib.sha256(archive).hexdigest(), "OLDEST": oldest, "NEWEST": newest}
    text = TEMPLATE.read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


if __name__ == "__main__":
    main()
