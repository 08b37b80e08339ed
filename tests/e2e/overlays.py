"""The overlay that docs/manifests.md shows, and the base that it is made for."""

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.installation import ROOT
from tests.e2e.readme import commands, section

NAME, NAMESPACE = "web", "team-a"
_TEXT = section("Kustomize", (ROOT / "docs" / "manifests.md").read_text(encoding="utf-8"))
OVERLAY, LIST = re.findall(r"^```yaml\n(.*?)^```$", _TEXT, re.MULTILINE | re.DOTALL)
"""An overlay, and what it has besides if the list is its own."""

GENERATE, APPLY_BASE, APPLY, WAIT = commands(_TEXT).splitlines()
"""Its commands."""


def write_base(directory: Path) -> Path:
    """Generate the base as the page does. Returns its directory."""
    (directory / "images.txt").write_text("registry.example.com/team/app:1.2\n", encoding="utf-8")
    program, *arguments = GENERATE.split()
    assert program == "nodeprefetch-deploy"
    subprocess.run(
        [sys.executable, "-m", "deploy_gen", *arguments], cwd=directory, env={"PYTHONPATH": str(ROOT)}, check=True
    )
    return directory / arguments[-1]


def write_overlay(directory: Path, text: str = OVERLAY, *, name: str = "overlay") -> Path:
    """Write an overlay beside the base. Returns its directory."""
    overlay = directory / name
    overlay.mkdir(exist_ok=True)
    (overlay / "kustomization.yaml").write_text(text, encoding="utf-8")
    return overlay
