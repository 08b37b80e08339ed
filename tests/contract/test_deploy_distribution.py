"""The wheel of the generator runs without nodeprefetch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import deploy_gen

FOLDER = Path(deploy_gen.__file__).parent
RUN = """
import importlib.metadata, sys
sys.path.insert(0, sys.argv.pop(1))
(script,) = importlib.metadata.distribution("nodeprefetch-deploy").entry_points
assert "nodeprefetch-deploy" == script.name
sys.exit(script.load()())
"""


def test_the_wheel_runs_alone(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"],
        cwd=FOLDER,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("nodeprefetch_deploy-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    def printed(*interpreter):
        return subprocess.run(
            [sys.executable, *interpreter, "web"], cwd=tmp_path, check=True, capture_output=True
        ).stdout

    # -I and -S: neither the checkout nor the environment's packages can be imported
    alone = printed("-I", "-S", "-c", RUN, str(tmp_path / "site"))
    from_checkout = subprocess.run(
        [sys.executable, "-S", "-m", "deploy_gen", "web"], cwd=FOLDER.parent, check=True, capture_output=True
    ).stdout

    assert alone == from_checkout
    assert {"LICENSE", "py.typed"} <= {path.name for path in (tmp_path / "site").rglob("*")}
