"""`why` at a real API server, by who has the reader's rights. Nodes and pods are as a kubelet would report them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation

pytestmark = pytest.mark.apiserver

IMAGES = ("registry.example.com/team/app:1", "registry.example.com/team/web:2")
ENDED = {"exitCode": 2, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}
CRASHED = {
    "name": "prefetch",
    "image": "x",
    "imageID": "",
    "ready": False,
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
    "lastState": {"terminated": ENDED},
}
PRESSURE = {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure"}


@pytest.fixture
def installation(installed: Callable[..., Installation], tmp_path: Path) -> Installation:
    """With a container that ends, on a node whose disk is full and which has a startup taint still."""
    list_file = tmp_path / "images.txt"
    list_file.write_text("".join(f"{image}\n" for image in IMAGES))
    made = installed(f"--images={list_file}", "--reader-role", "--remove-startup-taint=example.com/cold", name="web")
    generation = made.server.kubectl.get("daemonset", made.name, made.namespace)["metadata"]["generation"]
    kubectl = made.server.kubectl
    pod, there = f"{made.name}-daemonset", ("--namespace", made.namespace)
    kubectl.run("label", "pod", pod, *there, f"pod-template-generation={generation}")
    _patch(made, "pod", pod, {"status": {"phase": "Pending", "initContainerStatuses": [CRASHED]}}, *there)
    _patch(made, "node", made.node, {"status": {"conditions": [PRESSURE]}})
    kubectl.run("taint", "node", made.node, "example.com/cold=:NoSchedule")
    return made


def _patch(made: Installation, kind: str, name: str, body: dict[str, Any], *where: str) -> None:
    patch = f"--patch={json.dumps(body)}"
    made.server.kubectl.run("patch", kind, name, *where, "--subresource=status", "--type=merge", patch)


def why(made: Installation, *arguments: str, account: str = "") -> subprocess.CompletedProcess[str]:
    """Ask as the reader, or as another service account."""
    login = made.server.kubeconfig_with(made.server.token(made.namespace, account or f"{made.name}-reader"))
    command = [sys.executable, "-m", "nodeprefetch", "why", *arguments]
    flags = [f"--namespace={made.namespace}", f"--name={made.name}", f"--kubeconfig={login}"]
    return subprocess.run([*command, *flags], capture_output=True, text=True, check=False)


def test_a_reader_sees_what_is_in_the_way(installation: Installation) -> None:
    done = why(installation, installation.node, "--output=json")

    assert (0, "") == (done.returncode, done.stderr)
    (found,) = json.loads(done.stdout)
    pod, disk, taint = found["obstacles"]
    assert "container prefetch waits to be restarted after exit code 2 (flags, lists or secrets are invalid)" in pod
    assert "3 restarts" in pod
    assert disk.startswith("node condition DiskPressure is True")
    assert "the startup taint example.com/cold:NoSchedule is still on the node" == taint
    assert "failed" == found["state"]


def test_a_log_that_no_kubelet_serves_is_a_note(installation: Installation) -> None:
    """The reader may read it, so the API server asks the kubelet, which is not there."""
    done = why(installation, installation.node)

    assert 0 == done.returncode, done.stderr
    assert "note: the pod's log cannot be read: " in done.stdout
    assert "can-i" not in done.stdout


def test_a_node_without_a_pod_is_answered_too(installation: Installation) -> None:
    done = why(installation, installation.other_node)

    assert 0 == done.returncode, done.stderr
    assert "it has no pod on this node" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nowhere",), 'node "nowhere" not found'),
        (
            ("{node}", "team/apq"),
            'image "team/apq" is not in the list of web; it has "registry.example.com/team/app:1"',
        ),
    ],
)
def test_what_does_not_exist_is_refused(installation: Installation, arguments: tuple[str, ...], text: str) -> None:
    done = why(installation, *(each.format(node=installation.node) for each in arguments))

    assert (2, "") == (done.returncode, done.stdout)
    assert text in done.stderr


def test_without_rights_the_command_that_shows_it_is_printed(installation: Installation) -> None:
    done = why(installation, installation.node, account=installation.name)

    assert (3, "") == (done.returncode, done.stdout)
    assert "403" in done.stderr
    assert f"auth can-i get daemonsets.apps/web -n {installation.namespace}" in done.stderr
