"""Anyone's plugin: built, installed beside an installed nodeprefetch, and used to pull from a registry with a login."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.node import image_ids
from tests.integration.program import Ended, fetch_arguments
from tests.support.containerd import Containerd

pytestmark = [pytest.mark.containerd, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PASSWORD, WRONG = "pa55word-of-ann", "wr0ng-of-ann"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A virtual environment that knows nothing of this one."""

    directory: Path

    def run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a program of it, away from the source tree."""
        ended = subprocess.run(
            [self.directory / "bin" / program, *arguments],
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def pip(python: Path | str, *arguments: str) -> None:
    """Run pip as this environment is set up for it, since it fetches packages."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE_"))}
    ended = subprocess.run(
        [python, "-m", "pip", *arguments],
        env=settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """nodeprefetch and the example, from wheels, with what nodeprefetch needs and nothing more."""
    directory = tmp_path_factory.mktemp("installed")
    wheels = directory / "wheels"
    for project in (ROOT, ROOT / "plugins" / "example"):
        pip(sys.executable, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(wheels), str(project))
    environment = directory / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    pip(python, "install", "--require-hashes", "-r", "dev/requirements/run.txt")
    pip(python, "install", "--no-deps", "--no-index", *map(str, sorted(wheels.iterdir())))
    return Installed(directory=environment)


def test_what_is_installed_fits_together(installed: Installed) -> None:
    checked = installed.run("python", "-m", "pip", "check")

    assert (0, "No broken requirements found.\n") == (checked.code, checked.stdout)


def test_it_is_listed(installed: Installed) -> None:
    ended = installed.run("nodeprefetch", "plugins")

    (line,) = (line for line in ended.stdout.splitlines() if "netrc" in line.split())
    assert 0 == ended.code
    assert {"nodeprefetch-netrc", "1.0.0"} <= set(line.split())
    assert "no --credential-option netrc.file=FILE" in line


def test_its_credentials_let_in(
    installed: Installed, containerd: Containerd, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """Beside a pull secret with a wrong password, which comes after it."""
    fake_registry.require_basic({"ann": PASSWORD})
    name = fake_registry.add("private/app:1", make_image(seed=f"netrc {fake_registry.address}"))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {fake_registry.address} login ann password {PASSWORD}\n")
    secret = tmp_path / ".dockerconfigjson"
    wrong = {"username": "ann", "password": WRONG}
    secret.write_text(json.dumps({"auths": {fake_registry.address: wrong}}))
    how = {"credential_option": f"netrc.file={netrc}", "docker_config": secret, "debug": True}

    ended = installed.run("nodeprefetch", *fetch_arguments(containerd, [name], {"log_format": "json", **how}))

    assert 0 == ended.code, ended.stderr
    assert {name: "succeeded"} == ended.outcomes
    assert image_ids(containerd, [name])[name]
    assert "ann" in {request.user for request in fake_registry.requests.of(status=200)}
    assert [] == [line for line in ended.lines("attempt failed") if line["class"] == "refused"]
    assert all(word not in ended.stdout + ended.stderr for word in (PASSWORD, WRONG))


def test_its_options_come_by_environment_too(
    installed: Installed, containerd: Containerd, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    fake_registry.require_basic({"ann": PASSWORD})
    name = fake_registry.add("private/app:1", make_image(seed=f"netrc by environment {fake_registry.address}"))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login ann password {PASSWORD}\n")
    options = {"NODEPREFETCH_CREDENTIAL_OPTION": f"netrc.file={netrc}"}

    ended = installed.run("nodeprefetch", *fetch_arguments(containerd, [name], {}), environment=options)

    assert {name: "succeeded"} == ended.outcomes, ended.stderr


def test_a_bad_netrc_file_ends_the_run_before_it_begins(installed: Installed, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine quay.io {PASSWORD}\n")

    ended = installed.run(
        "nodeprefetch", *fetch_arguments(None, ["quay.io/a:1"], {"credential_option": f"netrc.file={netrc}"})
    )

    assert 2 == ended.code
    assert f"netrc file {netrc}: is not a valid netrc file (near line " in ended.stderr
    assert PASSWORD not in ended.stderr
