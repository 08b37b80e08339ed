"""The scripts in dev/ say how they are called when they are called otherwise, before they install or build anything."""

import re
import shutil
import subprocess

import pytest

from tests.unit.docs_pages import PAGES, ROOT

WRONG = [
    ["chart"],
    ["chart", "--help"],
    ["chart", "push", "nodeprefetch-1.2.3.tgz"],
    ["chart", "push", "nodeprefetch-1.2.3.tgz", "oci://registry.example.com", "--insecure"],
    ["cluster"],
    ["cluster", "--help"],
    ["cluster", "upp"],
    ["cluster", "up", "--dir"],
    ["containerd2", "--help"],
    ["demo", "--help"],
    ["docs", "--help"],
    ["hostile", "--help"],
    ["image", "--help"],
    ["image", "--output"],
    ["image", "--push", ""],
    ["kubectl-plugin"],
    ["kubectl-plugin", "--help"],
    ["lint-workflows", "--help"],
    ["lock", "--help"],
    ["lock", "--upgrade", "trio"],
    ["pin-images", "--help"],
    ["release"],
    ["release", "--help"],
    ["set-version"],
    ["set-version", "--help"],
    ["set-version", "v1.2.3"],
    ["test", "--help"],
]


@pytest.mark.parametrize("command", WRONG, ids=" ".join)
def test_a_script_that_is_called_wrongly_says_how_it_is_called(command, tmp_path):
    """Also from another directory, and by nobody in particular: with no home there is nowhere to build anything."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "none")}
    script, *arguments = command

    ended = subprocess.run(
        [ROOT / "dev" / script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    first = (ROOT / "dev" / script).read_text("utf-8").splitlines()[1].removeprefix("# ")
    assert (2, "", first) == (ended.returncode, ended.stdout, ended.stderr.splitlines()[0])
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("said", ["exit 127", "echo go1.19.8"], ids=["none", "old"])
def test_without_a_usable_go_workflows_are_not_checked_and_that_is_said(said, tmp_path):
    """By a code of its own, by which dev/test goes on."""
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\n{said}\n")
    go.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NODEPREFETCH_CACHE": str(tmp_path / "cache")}

    ended = subprocess.run([ROOT / "dev/lint-workflows"], env=environment, capture_output=True, text=True, check=False)

    assert 3 == ended.returncode
    assert "workflows are not checked" in ended.stderr


def test_root_on_debian_gets_a_missing_python_installed(tmp_path):
    """As every other package. The Python here works from then on, as far as the look at it."""
    programs = {
        "id": "echo 0",
        "dpkg-query": "exit 1",
        "apt-get": f'echo "$*" >>{tmp_path}/asked',
        "python3": f'[ -e {tmp_path}/asked ] && [ "$1" = -c ]',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = f"set -e; . {ROOT / 'dev/_env.sh'}; use_venv all"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    ended = subprocess.run(
        ["/bin/bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert ("dev: installing python3-venv\n", "") == (ended.stdout, ended.stderr)
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith(" python3-venv")


def test_workflows_have_the_go_that_the_clusters_programs_want():
    """What is compiled with another one says so and is left out, and all that needs it is skipped."""
    (wanted,) = re.findall(r"^go_version=(\S+)", (ROOT / "dev/clusterparts/build.sh").read_text("utf-8"), re.MULTILINE)
    workflows = [path.read_text("utf-8") for path in (ROOT / ".github/workflows").glob("*.yml")]

    assert {wanted} == {each for text in workflows for each in re.findall(r'go-version: "([^"]+)"', text)}


VERSIONED = ("nodeprefetch/__init__.py", "deploy_gen/__init__.py", "deploy_gen/chart/Chart.yaml")
NAMED_VERSION = re.compile(
    r"""(?:nodeprefetch:v?|nodeprefetch-deploy==|nodeprefetch-deploy\ web\ --version\ v|^version=v
        |charts/nodeprefetch\ .*--version\ |releases/tag/v|^\ +(?:targetRevision|tag):\  # in texts
        |^__version__\ =\ "|^version:\ |^appVersion:\ v)(\d+\.\d+\.\d+)""",
    re.MULTILINE | re.VERBOSE,
)


def test_a_new_version_is_written_everywhere(tmp_path):
    """Into programs and chart, and where pages name the image or the chart."""
    pages = [str(page.relative_to(ROOT)) for page in PAGES]
    for name in ("dev/set-version", *VERSIONED, *pages):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    subprocess.run([tmp_path / "dev/set-version", "98.76.5"], check=True)

    found = {name: set(NAMED_VERSION.findall((tmp_path / name).read_text("utf-8"))) for name in (*VERSIONED, *pages)}
    assert {"98.76.5"} == set().union(*found.values())
    assert [] == [name for name in (*VERSIONED, "docs/image.md") if not found[name]]


def test_without_a_usable_go_the_chart_is_not_packaged_and_that_is_said(tmp_path):
    """By a code of its own, by which dev/release builds everything else."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\nexit 127\n")
    go.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NODEPREFETCH_CACHE": str(tmp_path / "cache")}

    ended = subprocess.run(
        [ROOT / "dev/chart", "package"], env=environment, capture_output=True, text=True, check=False
    )

    assert (3, "") == (ended.returncode, ended.stdout)
    assert "cluster: not available: helm (needs Go " in ended.stderr
    assert "chart: cannot package the chart: Helm is missing" in ended.stderr
