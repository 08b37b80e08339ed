"""What the kubectl plugin of one file is built from, and the rules of krew that its manifest follows."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectlplugin.archive import tar_gz_of, zip_of
from kubectlplugin.build import executable
from kubectlplugin.krew import TEMPLATE, manifest
from kubectlplugin.wheels import COMPILED, TARGETS, read_requirements

from tests.unit.docs_pages import ROOT

LOCKED = (ROOT / "dev/requirements/run.txt").read_text("utf-8")


def test_requirements_keep_their_hashes_and_those_for_windows_are_left_out():
    locked = read_requirements(LOCKED)

    assert "cffi" not in locked
    assert locked["trio"].startswith("trio==")
    assert LOCKED.count("--hash=") > sum(lines.count("--hash=") for lines in locked.values()) > len(locked)
    assert all("--hash=sha256:" in lines for lines in locked.values())


def test_compiled_packages_are_locked_for_several_platforms():
    """The build fails if a wheel is missing."""
    locked = read_requirements(LOCKED)

    assert all(locked[name].count("--hash=") >= len(TARGETS) for name in COMPILED)


def test_a_requirement_for_some_pythons_only_is_refused():
    """pip would decide by the Python that builds, not by the one that runs."""
    with pytest.raises(ValueError, match=r"some-backport==1.0 ; python_version < '3.12'"):
        read_requirements("some-backport==1.0 ; python_version < '3.12' \\\n    --hash=sha256:0\n")


def test_archives_depend_on_nothing_but_their_files():
    files = {"b": b"2" * 99, "a": b"1"}
    turned = dict(reversed(files.items()))

    assert zip_of(files) == zip_of(turned)
    assert tar_gz_of(files, executable=["a"]) == tar_gz_of(turned, executable=["a"])
    with tarfile.open(fileobj=io.BytesIO(tar_gz_of(files, executable=["a"]))) as archive:
        assert {"a": 0o755, "b": 0o644} == {each.name: each.mode for each in archive}


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An executable file without a program, for no platform."""
    path = tmp_path_factory.mktemp("plugin") / "kubectl-nodeprefetch"
    path.write_bytes(executable("1.2.3", {"common.zip": b"", "cpython-399-sparc-sunos.zip": b""}))
    path.chmod(0o755)
    return path


def test_the_file_is_a_script_and_an_archive(empty_file: Path):
    assert empty_file.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(empty_file) as archive:
        assert archive.testzip() is None
        assert {"__main__.py", "boot/main.py", "common.zip"} <= set(archive.namelist())


def test_a_platform_without_compiled_modules_gets_one_line(empty_file: Path):
    ended = subprocess.run([sys.executable, empty_file, "status"], capture_output=True, text=True, check=False)

    (line,) = ended.stderr.splitlines()
    assert 3 == ended.returncode
    assert f"kubectl-nodeprefetch: cannot run with {sys.executable}: no compiled modules for cpython-3" in line
    assert "use CPython 3.11 to 3.14 on Linux or macOS, amd64 or arm64, or: pip install nodeprefetch" in line


OLD = sorted(Path.home().glob(".pyenv/versions/[23].*/bin/python")) if sys.platform == "linux" else []
TOO_OLD = [each for each in OLD if re.fullmatch(r"2\.7\..*|3\.[6-9]\..*|3\.10\..*", each.parts[-3])]


@pytest.mark.parametrize("python", TOO_OLD, ids=lambda path: path.parts[-3])
def test_a_python_that_is_too_old_gets_one_line(empty_file: Path, python: Path, tmp_path: Path):
    """On a PATH that has no other one, and with others that are not what their names say, as pyenv's."""
    for name, text in {"python3.12": "exit 127", "python3.13": "exit 0\nthis is not Python"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / "python3.12").chmod(0o755)

    ended = subprocess.run(
        [python, empty_file, "status"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    (line,) = ended.stderr.splitlines()
    assert 3 == ended.returncode
    version = ".".join(python.parts[-3].split(".")[:2])
    assert f"kubectl-nodeprefetch: cannot run with {python}" in line
    assert f"it is Python {version} (install Python 3.11 to 3.14)" in line


@pytest.mark.parametrize("python", TOO_OLD[:1], ids=lambda path: path.parts[-3])
def test_a_python_that_is_too_old_starts_a_newer_one_of_the_path(empty_file: Path, python: Path, tmp_path: Path):
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / f"python{version}").symlink_to(sys.executable)

    ended = subprocess.run(
        [python, empty_file, "status"], env={"PATH": f"/none:{tmp_path}"}, capture_output=True, text=True, check=False
    )

    assert f"cannot run with {tmp_path}/python{version}: no compiled modules" in ended.stderr


@pytest.fixture(scope="module")
def krew() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(manifest("1.2.3", b"archive"))
    return found


def test_the_krew_manifest_names_the_release(krew: dict[str, Any]):
    (platform,) = krew["spec"]["platforms"]

    assert "v1.2.3" == krew["spec"]["version"]
    assert platform["uri"].endswith("/releases/download/v1.2.3/kubectl-nodeprefetch.tar.gz")
    assert hashlib.sha256(b"archive").hexdigest() == platform["sha256"]
    assert "Python 3.11 to 3.14" in krew["spec"]["caveats"]
    assert "@" not in manifest("1.2.3", b"archive")


def test_the_krew_manifest_follows_its_rules(krew: dict[str, Any]):
    """Those of krew's documentation on manifests and names. `validate-krew-manifest` has checked the first one."""
    spec = krew["spec"]
    (platform,) = spec["platforms"]

    assert ("krew.googlecontainertools.github.com/v1alpha2", "Plugin") == (krew["apiVersion"], krew["kind"])
    assert TEMPLATE.stem == krew["metadata"]["name"]
    assert re.fullmatch(r"[a-z][a-z0-9-]*", krew["metadata"]["name"])
    assert set(spec) == {"version", "homepage", "shortDescription", "description", "caveats", "platforms"}
    assert len(spec["shortDescription"]) <= 50
    assert not re.search(r"[.\n]$|\bkubectl\b|\bKubernetes\b", spec["shortDescription"])
    assert max(map(len, f"{spec['description']}{spec['caveats']}".splitlines())) <= 80
    assert {"os": {"darwin", "linux"}, "arch": {"amd64", "arm64"}} == {
        each["key"]: set(each["values"]) for each in platform["selector"]["matchExpressions"]
    }
    assert [("kubectl-nodeprefetch", "."), ("LICENSE", ".")] == [
        (each["from"], each["to"]) for each in platform["files"]
    ]
    assert "kubectl-nodeprefetch" == platform["bin"]
