"""`explain` shows what fetch would do, with and without a runtime, and pulls nothing."""

import json
from pathlib import Path

import pytest

from nodeprefetch.testing.images import make_artifact, make_image
from nodeprefetch.testing.registry import FakeRegistry
from tests.integration.program import RunFetch, RunHere, Start
from tests.support.containerd import Containerd


@pytest.mark.containerd
def test_with_a_runtime_it_knows_what_is_present(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, start: Start
) -> None:
    there = fake_registry.add("explain/there:1", make_image(seed="explain there"))
    other = fake_registry.add("explain/other:latest", make_image(seed="explain other"))
    assert 0 == run_fetch(containerd, there).code
    fake_registry.requests.clear()

    ended = start("explain", "--output=json", f"--cri-socket={containerd.socket}", there, other, "nginx").end()

    assert 0 == ended.code
    common: dict[str, object] = {"problem": "", "credentials": [], "providers": []}
    address = fake_registry.address
    assert [
        {"image": there, "normalized": there, "registry": address, "pull_policy": "IfNotPresent", "present": True}
        | common,
        {"image": other, "normalized": other, "registry": address, "pull_policy": "Always", "present": False} | common,
        {
            "image": "nginx",
            "normalized": "docker.io/library/nginx:latest",
            "registry": "docker.io",
            "pull_policy": "Always",
            "present": False,
        }
        | common,
    ] == json.loads(ended.stdout)
    assert "" == ended.stderr
    assert 0 == len(fake_registry.requests)


def test_without_a_runtime_presence_is_open(run_here: RunHere, short_path: Path, tmp_path: Path) -> None:
    (tmp_path / "images.txt").write_text("nginx:1.27 # the web server\nquay.io/team/app\n")
    arguments = (f"--cri-socket={short_path}/none.sock", f"--image-list-file={tmp_path}/images.txt")

    ended = run_here("explain", "--output=json", "--pull-policy=IfNotPresent", *arguments)

    assert 0 == ended.code
    assert [
        ("nginx:1.27", "docker.io/library/nginx:1.27", "docker.io", "IfNotPresent", None),
        ("quay.io/team/app", "quay.io/team/app:latest", "quay.io", "IfNotPresent", None),
    ] == [
        tuple(one[key] for key in ("image", "normalized", "registry", "pull_policy", "present"))
        for one in json.loads(ended.stdout)
    ]


@pytest.mark.containerd
def test_an_artifact_is_called_one(
    containerd: Containerd, fake_registry: FakeRegistry, run_fetch: RunFetch, start: Start
) -> None:
    """containerd lists it as an image once somebody has tried to pull it."""
    name = fake_registry.add("explain/artifact:1", make_artifact(seed="explain"))
    assert 1 == run_fetch(containerd, name).code

    ended = start("explain", f"--cri-socket={containerd.socket}", name).end()

    _, row, problem = ended.stdout.splitlines()
    assert "artifact" == row.split()[3]
    assert problem.startswith(
        f"{name}: not a container image but an OCI artifact of type application/vnd.example.model: "
    )


@pytest.mark.containerd
def test_people_get_a_table(containerd: Containerd, fake_registry: FakeRegistry, start: Start) -> None:
    name = fake_registry.add("explain/table:1", make_image(seed="table"))

    ended = start("explain", f"--cri-socket={containerd.socket}", name).end()

    head, row = ended.stdout.splitlines()
    assert ["IMAGE", "PULLED", "AS", "POLICY", "PRESENT", "CREDENTIALS"] == head.split()
    assert [name, name, "IfNotPresent", "no", "anonymous"] == row.split()


def test_a_bad_reference_is_an_error(run_here: RunHere) -> None:
    ended = run_here("explain", "--output=json", "nginx", "UPPER", "a:b:c")

    assert (2, "", 2) == (ended.code, ended.stdout, len(ended.stderr.splitlines()))


def test_a_reader_who_has_seen_enough_is_no_accident(start: Start, short_path: Path) -> None:
    many = [f"registry.test/app-{number}" for number in range(2000)]
    shell = ("/bin/sh", "-c", '{ "$@"; echo "ended with $?" >&2; } | true', "sh")

    ended = start("explain", f"--cri-socket={short_path}/none.sock", *many, prefix=shell).end()

    assert "ended with 141\n" == ended.stderr
