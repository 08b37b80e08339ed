"""docs/plugins.md: the plugin, its project and its tests, as they stand there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nodeprefetch.credentials.api import ENTRY_POINT_GROUP

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "plugins.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example, written to files."""
    plugin, test = blocks("python")
    (tmp_path / "nodeprefetch_tokenfile.py").write_text(plugin)
    (tmp_path / "test_tokenfile.py").write_text(test)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    return tmp_path


def run(project: Path, *module: str) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    ended = subprocess.run(
        [sys.executable, "-m", *module], cwd=project, env=ours, capture_output=True, text=True, check=False
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    return ended.stdout


def test_the_example_passes_its_own_tests(project: Path):
    assert re.search(r"\b\d\d passed", run(project, "pytest", "-p", "no:cacheprovider"))


def test_the_example_keeps_the_types(project: Path):
    config = project / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\nmypy_path = {ROOT}\nfollow_imports = silent\n")

    assert "Success" in run(project, "mypy", f"--config-file={config}", "nodeprefetch_tokenfile.py")


def test_the_entry_point_leads_to_the_factory():
    (project,) = (tomllib.loads(block) for block in blocks("toml"))

    assert {ENTRY_POINT_GROUP: {"tokenfile": "nodeprefetch_tokenfile:make_provider"}} == (
        project["project"]["entry-points"]
    )
    assert "def make_provider(" in blocks("python")[0]
    assert ["nodeprefetch_tokenfile.py"] == project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
