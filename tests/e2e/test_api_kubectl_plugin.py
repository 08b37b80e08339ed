"""The kubectl plugin as one file: built, and started by the Pythons of this machine with nothing installed in them."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kubectlplugin.build import executable

from tests.e2e.installation import ROOT, Installation
from tests.support.apiserver import ApiServer
from tests.support.cluster_programs import programs_directory
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.apiserver, pytest.mark.slow]

PROGRAM = "kubectl-nodeprefetch"
PYTHONS = [
    *sorted(Path("/usr/bin").glob("python3.1[1-4]")),
    *sorted(Path.home().glob(".pyenv/versions/3.1[1-4].*/bin/python3")),
] or [Path(sys.executable)]


def build(directory: Path, **environment: str) -> Path:
    """All files of the plugin."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE_"))}
    ended = subprocess.run(
        [ROOT / "dev/kubectl-plugin", directory],
        env={**settings, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (ended.returncode, ended.stderr)
    return directory


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home directories, which only the first start of a Python has to fill."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(program: Sequence[str | Path], home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in an otherwise empty environment."""
    return subprocess.run(
        program, env={"HOME": str(home), **environment}, cwd="/", capture_output=True, text=True, check=False
    )


def unpacked(home: Path) -> list[Path]:
    return sorted((home / ".cache/nodeprefetch/kubectl-plugin").iterdir())


@pytest.mark.long  # two minutes, most of them for pip
def test_the_same_sources_make_the_same_files(built: Path, tmp_path: Path) -> None:
    """In another folder, with wheels downloaded again, later, and with another umask, language and time zone."""
    mask = os.umask(0o077)
    cache = tmp_path / "cache"
    again = build(
        tmp_path / "else where", NODEPREFETCH_CACHE=str(cache), LC_ALL="C", TZ="Asia/Tokyo", PYTHONHASHSEED="1"
    )
    os.umask(mask)

    names = [PROGRAM, f"{PROGRAM}.tar.gz", "nodeprefetch.yaml"]
    assert names == sorted(path.name for path in again.iterdir())
    assert [] == [name for name in names if (built / name).read_bytes() != (again / name).read_bytes()]


def test_the_archive_has_the_file_and_the_license(built: Path) -> None:
    with tarfile.open(built / f"{PROGRAM}.tar.gz") as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]

    assert {PROGRAM: (built / PROGRAM).read_bytes(), "LICENSE": (ROOT / "LICENSE").read_bytes()} == members


@pytest.mark.parametrize("python", PYTHONS, ids=str)
def test_each_python_runs_it_from_its_own_unpacked_files(built: Path, homes: Path, python: Path) -> None:
    """Without site packages, and with others of the user that must not get in."""
    home = homes / str(python).replace("/", "-")
    foreign = home / "foreign"
    foreign.mkdir(parents=True)
    for name in ("msgspec", "trio", "kubernetes"):
        (foreign / f"{name}.py").write_text("raise SystemExit('not ours')")
    listing = home / "list.yaml"
    listing.write_text("kind: Pod\nspec: {containers: [{image: 'nginx:1.27'}]}\n")
    code = "import msgspec, yaml, sys; print(msgspec.__file__, yaml.__with_libyaml__)"

    runs = [run([python, built / PROGRAM, "discover", listing], home, PYTHONPATH=str(foreign)) for _ in range(2)]
    isolated = run([python, "-I", "-S", built / PROGRAM, "--version"], home)
    (place,) = unpacked(home)
    compiled = run([python, "-I", "-c", f"import sys; sys.path.insert(0, {str(place)!r}); {code}"], home)

    found = "docker.io/library/nginx:1.27"
    assert [(0, found, "")] * 2 == [(each.returncode, each.stdout.split()[0], each.stderr) for each in runs]
    assert (0, "") == (isolated.returncode, isolated.stderr)
    assert f"{place}/msgspec/__init__.py True\n" == compiled.stdout
    assert list(place.glob("nodeprefetch/cli/__pycache__/*.pyc"))
    assert 0o700 == place.stat().st_mode & 0o777


def test_kubectl_runs_it_with_the_answers_of_the_installed_program(
    built: Path, homes: Path, installed: Callable[..., Installation], tmp_path: Path
) -> None:
    """With a plain kubeconfig, and with one that takes the package `kubernetes`: with a login program."""
    installation = installed("--reader-role")
    server, namespace = installation.server, f"--namespace={installation.namespace}"
    login = _with_login_program(server, tmp_path, server.token(installation.namespace, "web-reader"))
    path = f"{tmp_path}:{built}:/usr/bin:/bin"
    (tmp_path / "kubectl").symlink_to(programs_directory() / "kubectl")

    def ask(*arguments: str, kubeconfig: Path = server.kubeconfig) -> tuple[int, str]:
        flags = (*arguments, f"--kubeconfig={kubeconfig}")
        plugin = run(["/usr/bin/env", "kubectl", "nodeprefetch", *flags], homes, PATH=path)
        program = run([sys.executable, "-m", "nodeprefetch", *flags], homes, PATH=path)
        answers = [(each.returncode, _without_times(each.stdout), each.stderr) for each in (program, plugin)]
        assert answers[0] == answers[1]
        return plugin.returncode, plugin.stdout

    for kubeconfig in (server.kubeconfig, login):
        code, answer = ask("status", "web", namespace, "--output=json", kubeconfig=kubeconfig)
        assert (0, "web") == (code, json.loads(answer)[0]["name"])
    assert 1 == ask("wait", "web", namespace, "--timeout=0")[0]
    assert 2 == ask("why", "no-node", namespace)[0]
    assert 0 == ask("discover", "--cluster")[0]
    fetching = run(["/usr/bin/env", "kubectl", "nodeprefetch", "fetch", "nginx"], homes, PATH=path)
    assert (2, 'nodeprefetch: Unknown command "fetch". Available commands: status, wait, why, discover.\n') == (
        fetching.returncode,
        fetching.stderr,
    )


def _without_times(text: str) -> str:
    return re.sub(r"\b[0-9]+s\b", "0s", text)


def _with_login_program(server: ApiServer, directory: Path, token: str) -> Path:
    api = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": api, "kind": "ExecCredential", "status": {"token": token}}
    (directory / "credential.json").write_text(json.dumps(credential))
    kubeconfig = json.loads(server.kubectl.run("config", "view", "--raw", "--output=json"))
    program = {"command": "cat", "args": [str(directory / "credential.json")]}
    for user in kubeconfig["users"]:
        user["user"] = {"exec": {"apiVersion": api, "interactiveMode": "Never", **program}}
    (directory / "login.kubeconfig").write_text(json.dumps(kubeconfig))
    return directory / "login.kubeconfig"


def test_two_first_starts_at_once_share_one_directory(built: Path, home: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: run([PYTHONS[0], built / PROGRAM, "--version"], home), range(2)))

    assert [(0, "")] * 2 == [(each.returncode, each.stderr) for each in ended]
    assert 1 == len(unpacked(home))


def test_two_versions_have_two_directories(built: Path, home: Path, tmp_path: Path) -> None:
    """Any change of the file makes another one: here, of a version that it says it is."""
    other = tmp_path / PROGRAM
    with zipfile.ZipFile(built / PROGRAM) as archive:
        archives = {name: archive.read(name) for name in archive.namelist() if name.endswith(".zip")}
    other.write_bytes(executable("9.9.9", archives))

    for program in (built / PROGRAM, other, built / PROGRAM):
        assert 0 == run([PYTHONS[0], program, "--version"], home).returncode
    assert 2 == len(unpacked(home))


@pytest.fixture
def unwritable(home: Path) -> Path:
    """A home that not even root can write: there is a file where the cache would be."""
    (home / ".cache").write_text("")
    return home


def test_without_a_cache_it_runs_from_a_temporary_directory_which_it_removes(
    built: Path, unwritable: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    ended = run([PYTHONS[0], built / PROGRAM, "--version"], unwritable, TMPDIR=str(temporary))

    assert (0, 1) == (ended.returncode, ended.stderr.count("\n"))
    assert f"cannot use the cache {unwritable}/.cache/nodeprefetch/kubectl-plugin: Not a directory; unp" in ended.stderr
    _wait_until_empty(temporary)


def test_the_temporary_directory_is_removed_even_if_the_program_is_killed(
    built: Path, unwritable: Path, tmp_path: Path, installed: Callable[..., Installation]
) -> None:
    """And only then; and nobody who reads its output has to wait for that."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    installation = installed()
    flags = ["web", f"--namespace={installation.namespace}", f"--kubeconfig={installation.server.kubeconfig}"]
    command = [PYTHONS[0], built / PROGRAM, "status", "--watch", *flags]
    with subprocess.Popen(
        command, env={"HOME": str(unwritable), "TMPDIR": str(temporary)}, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        (place,) = temporary.iterdir()
        assert 0o700 == place.stat().st_mode & 0o777
        running.send_signal(signal.SIGKILL)
        running.stdout.read()

    assert -signal.SIGKILL == running.returncode
    _wait_until_empty(temporary)


def _wait_until_empty(directory: Path) -> None:
    until = time.monotonic() + PATIENCE
    while list(directory.iterdir()):
        assert time.monotonic() < until, list(directory.iterdir())
        time.sleep(0.05)
