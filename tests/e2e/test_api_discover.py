"""`discover --cluster` at real API servers, with their selectors. Pods are as kubelets would report them."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.apiserver

NAMESPACE = "discovered"
BOTH = "registry.example.com/web:1  # 2x on 2 nodes in Pod/web-0, Pod/web-1, 2 digests\n"
DIGESTS = [f"sha256:{digit * 64}" for digit in "01"]


def pod(name: str, node: str, image: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": image}],
        },
    }


@pytest.fixture(scope="module", autouse=True)
def pods(api_server: ApiServer) -> None:
    """Of one Deployment on two nodes, with two digests of its tag; one that has ended; one of another kind."""
    kubectl = api_server.kubectl
    kubectl.run("create", "namespace", NAMESPACE)
    kubectl.run("create", "serviceaccount", "default", "--namespace", NAMESPACE)
    for number, digest in enumerate(DIGESTS):
        kubectl.create(pod(f"web-{number}", f"n{number}", "registry.example.com/web:1", app="web"))
        report(api_server, f"web-{number}", "Running", digest)
    kubectl.create(pod("job", "n0", "registry.example.com/job:1"), pod("tool", "n1", "busybox"))
    report(api_server, "job", "Succeeded", DIGESTS[0])


def report(server: ApiServer, name: str, phase: str, digest: str) -> None:
    image = {"name": "c", "image": "x", "imageID": f"registry.example.com/x@{digest}"}
    state = {"ready": True, "restartCount": 0, "state": {}, "lastState": {}}
    patch = json.dumps({"status": {"phase": phase, "containerStatuses": [image | state]}})
    where = ("--namespace", NAMESPACE, "--subresource=status", "--type=merge")
    server.kubectl.run("patch", "pod", name, *where, f"--patch={patch}")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], f"docker.io/library/busybox:latest  # 1x on 1 node in Pod/tool\n{BOTH}"),
        (["--node=n0"], "registry.example.com/web:1  # 1x on 1 node in Pod/web-0\n"),
        (["-l", "app in (web),!old"], BOTH),
    ],
)
def test_pods_that_run_are_found(api_server: ApiServer, flags: list[str], expected: str) -> None:
    command = [sys.executable, "-m", "nodeprefetch", "discover", "--cluster", f"--namespace={NAMESPACE}"]
    done = subprocess.run(
        [*command, f"--kubeconfig={api_server.kubeconfig}", *flags], capture_output=True, text=True, check=False
    )

    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)


def test_a_selector_that_is_none_is_an_error(api_server: ApiServer) -> None:
    command = [sys.executable, "-m", "nodeprefetch", "discover", "--cluster", "-l", "a in b"]
    done = subprocess.run(
        [*command, f"--kubeconfig={api_server.kubeconfig}"], capture_output=True, text=True, check=False
    )

    assert (3, "") == (done.returncode, done.stdout)
    assert "unable to parse requirement" in done.stderr
