"""The chart as a release has it: the same bytes each time, and installable from a registry."""

import json
import os
import shutil
import subprocess
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import need
from tests.support.chart import CHART
from tests.support.cluster_programs import helm_program, why_no_helm
from tests.support.daemons import DockerRegistry

ROOT = CHART.parents[1]
TIME, TIME_TEXT = 1_700_000_000, "2023-11-14T22:13:20Z"  # of the commit

pytestmark = [pytest.mark.registry, pytest.mark.helm]


def run(*command: str | Path, **environment: str) -> str:
    """Its standard output."""
    settings = {**os.environ, "SOURCE_DATE_EPOCH": str(TIME), **environment}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged chart."""
    need(why_no_helm())
    return Path(run(ROOT / "dev/chart", "package", tmp_path_factory.mktemp("chart")).strip())


def test_another_checkout_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    """Whatever the times and modes of its files are, and without anything outside of the chart."""
    for script in ("chart", "cluster", "_env.sh"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        shutil.copy(ROOT / "dev" / script, tmp_path / "dev")
    shutil.copytree(ROOT / "dev/clusterparts", tmp_path / "dev/clusterparts")
    shutil.copytree(CHART, tmp_path / "deploy_gen/chart", copy_function=shutil.copyfile)
    (tmp_path / "deploy_gen/chart/Chart.yaml").chmod(0o600)

    other = run(tmp_path / "dev/chart", "package", tmp_path / "dist", TZ="Asia/Kolkata")

    assert archive.read_bytes() == Path(other.strip()).read_bytes()


def test_it_has_the_files_of_the_chart_with_the_time_of_the_commit(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()

    files = {f"nodeprefetch/{path.relative_to(CHART)}" for path in CHART.rglob("*") if path.is_file()}
    assert files == {member.name for member in members}
    assert {TIME} == {member.mtime for member in members}


def test_it_installs_from_a_registry_as_from_its_file(
    archive: Path, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    """And pushed again, by whoever repeats a failed job, it has the same digest: only the commit's time is in it."""
    charts = f"oci://{docker_registry.address}/charts"
    later = shutil.copyfile(archive, tmp_path / "later.tgz")

    first, second = (run(ROOT / "dev/chart", "push", each, charts, "--plain-http") for each in (archive, later))

    name, _, digest = first.strip().partition("@")
    assert (f"{docker_registry.address}/charts/nodeprefetch", first) == (name, second)
    manifest = read_manifest(docker_registry, digest)
    assert TIME_TEXT == manifest["annotations"]["org.opencontainers.image.created"]
    from_file, by_name, by_digest = (
        helm("template", "web", *chart, "--set=images={nginx:1.27}", home=tmp_path)
        for chart in (
            (archive,),
            (f"oci://{name}", "--plain-http"),
            (f"oci://{name}@{digest}", "--plain-http"),
        )
    )
    assert "kind: DaemonSet" in from_file
    assert [from_file, from_file] == [by_name, by_digest]


def test_artifact_hub_finds_who_owns_it(archive: Path, docker_registry: DockerRegistry) -> None:
    """By the tag and the types of its documentation."""
    run(ROOT / "dev/chart", "push", archive, f"oci://{docker_registry.address}/charts", "--plain-http")

    manifest = read_manifest(docker_registry, "artifacthub.io")
    assert "application/vnd.cncf.artifacthub.config.v1+yaml" == manifest["config"]["mediaType"]
    (layer,) = manifest["layers"]
    assert "application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml" == layer["mediaType"]
    assert (ROOT / "artifacthub-repo.yml").read_bytes() == read(docker_registry, f"blobs/{layer['digest']}")


def helm(*arguments: str | Path, home: Path) -> str:
    return run(helm_program(), *arguments, HOME=str(home))


def read_manifest(registry: DockerRegistry, reference: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(read(registry, f"manifests/{reference}"))
    return manifest


def read(registry: DockerRegistry, path: str) -> bytes:
    """What the registry has of the chart."""
    address = f"http://{registry.address}/v2/charts/nodeprefetch/{path}"
    wanted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(address, headers=wanted)) as answer:
        content: bytes = answer.read()
    return content
