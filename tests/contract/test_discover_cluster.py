"""`discover --cluster`: the images of what runs, from a Kubernetes API that is ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeprefetch.cli.commands import run
from tests.support.fake_kube import FakeKube

APP, DB = "registry.example.com/team/app:1", "postgres:17"
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"


def pod(name: str, node: str, *images: str, digest: str = "", phase: str = "Running", **more: Any) -> dict[str, Any]:
    containers = [{"name": f"c{index}", "image": image} for index, image in enumerate(images)]
    statuses = [{**each, "imageID": f"registry.example.com/x@{digest}" if digest else ""} for each in containers]
    metadata = {"name": name, "namespace": "shop", **more}
    spec = {"nodeName": node, "containers": containers}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase, "containerStatuses": statuses}}


def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": "Extra", "name": "x"}, {"kind": kind, "name": name, "controller": True}],
            "labels": labels}  # fmt: skip


@pytest.fixture
def api() -> Iterator[FakeKube]:
    of_web = owned("ReplicaSet", "web-5d8f", app="web", **{"pod-template-hash": "5d8f"})
    with FakeKube() as running:
        reads = running.objects.reads
        reads.largest_page = 2
        reads.put("pods", pod("web-5d8f-a", "n1", APP, digest=OLD, **of_web))
        reads.put("pods", pod("web-5d8f-b", "n2", APP, digest=NEW, **of_web))
        reads.put("pods", pod("web-5d8f-c", "n2", APP, digest=NEW, **of_web))
        reads.put("pods", pod("db-0", "n1", DB, **owned("StatefulSet", "db")))
        reads.put("pods", pod("waiting", "", "registry.example.com/large:1", phase="Pending"))
        reads.put("pods", pod("broken", "n1", "Not An Image"))
        reads.put("pods", pod("broken-too", "", "Not An Image", phase="Pending"))
        reads.put("pods", pod("done", "n1", "registry.example.com/job:1", phase="Succeeded"))
        reads.put("pods", pod("lost", "n1", "registry.example.com/job:2", phase="Failed"))
        elsewhere = pod("tool", "n2", "registry.example.com/tool:1")
        elsewhere["metadata"]["namespace"] = "tools"
        elsewhere["spec"]["initContainers"] = [{"name": "i", "image": "registry.example.com/init:1"}]
        elsewhere["spec"]["volumes"] = [
            {"name": "v", "image": {"reference": "registry.example.com/model:1"}},
            {"name": "w"},
        ]
        reads.put("pods", elsewhere)
        yield running


def printed(api: FakeKube, directory: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
    code = run(["discover", "--cluster", f"--kubeconfig={api.write_kubeconfig(directory)}", *flags])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_runs_is_a_list_with_nodes_and_digests(
    api: FakeKube, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = """\
docker.io/library/postgres:17  # 1x on 1 node in StatefulSet/db
registry.example.com/init:1  # 1x on 1 node in Pod/tool
registry.example.com/large:1  # 1x in Pod/waiting
registry.example.com/model:1  # 1x on 1 node in Pod/tool
registry.example.com/team/app:1  # 3x on 2 nodes in Deployment/web, 2 digests
registry.example.com/tool:1  # 1x on 1 node in Pod/tool
"""
    assert (0, expected, "") == printed(api, tmp_path, capsys)
    assert (0, expected, "") == printed(api, tmp_path, capsys, "-A")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["-n", "tools", "--exclude=*/init:*"], ["registry.example.com/model:1", "registry.example.com/tool:1"]),
        (["-l", "app=web"], [APP]),
        (["--node", "n1"], ["docker.io/library/postgres:17", APP]),
        (["--min-nodes=2"], [APP]),
    ],
)
def test_flags_choose_pods(
    api: FakeKube, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], expected: list[str]
) -> None:
    code, out, _ = printed(api, tmp_path, capsys, *flags)

    assert (0, expected) == (code, [line.split()[0] for line in out.splitlines()])


def test_as_json_each_pod_counts(api: FakeKube, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = printed(api, tmp_path, capsys, "--output=json", "-l", "app=web")

    (image,) = json.loads(out)
    assert (0, APP, 2, [OLD, NEW]) == (code, image["image"], image["nodes"], image["digests"])
    assert {
        "source": "cluster", "kind": "Deployment", "name": "web", "namespace": "shop", "text": APP,
        "field": "spec.containers[0].image", "node": "n1", "digest": OLD,
    } == image["places"][0]  # fmt: skip


def test_manifests_and_the_cluster_are_one_list(
    api: FakeKube, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "new.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new"},
                                    "spec": {"containers": [{"image": APP}]}}))  # fmt: skip

    code, out, _ = printed(api, tmp_path, capsys, "-l", "app=web", str(manifest))

    assert (0, f"{APP}  # 4x on 2 nodes in Pod/new, Deployment/web, 2 digests\n") == (code, out)


def test_without_permission_it_says_how_to_check(
    api: FakeKube, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.objects.reads.forbidden.add("list pods")

    code, out, errors = printed(api, tmp_path, capsys)

    assert (3, "") == (code, out)
    assert "listing pods in all namespaces" in errors
    assert "auth can-i list pods -A" in errors


def test_flags_about_pods_require_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["discover", "x.yaml", "-n", "a", "-A", "-l", "b=c", "--node", "d", "--min-nodes", "2"])
    both, *others = capsys.readouterr().err.splitlines()
    assert "nodeprefetch: --namespace and --all-namespaces exclude each other" == both
    flags = ("--namespace", "--all-namespaces", "--selector", "--node", "--min-nodes")
    assert [f"nodeprefetch: {flag} requires --cluster" for flag in flags] == others
