"""What keeps a pod from pulling, from its status as API servers give it."""

import re
from typing import Any

import msgspec
import pytest

from nodeprefetch.cluster.advice import PAGE
from nodeprefetch.cluster.pod_trouble import PodTrouble, exit_text, pod_troubles
from nodeprefetch.kube.read_objects import Pod, Terminated
from tests.unit.docs_pages import ROOT, anchors

BACK_OFF = {"reason": "ImagePullBackOff", "message": "Back-off\x1b pulling"}
CREATING = {"reason": "ContainerCreating", "message": "waits for a volume"}
OUT_OF_MEMORY = {"exitCode": 137, "reason": "OOMKilled"}
NOW = 1_767_225_600.0 + 600
ENDED = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-01T00:05:00Z"}
SEE = "(docs/troubleshooting.md#the-pod-does-not-become-ready)"


def pod(**status: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": "p"}, "status": {"phase": "Pending", **status}}, Pod)


def container(
    name: str = "prefetch", restarts: int = 0, last: dict[str, Any] | None = None, **state: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pod(phase="Running", containerStatuses=[container("sleep", running={})]), ()),
        (pod(initContainerStatuses=[container(running={"startedAt": "2026-01-01T00:00:00Z"})]), ()),
        (
            pod(
                initContainerStatuses=[container(terminated={"exitCode": 0})],
                containerStatuses=[container("sleep", waiting={"reason": "PodInitializing"})],
            ),
            (),
        ),
        (
            pod(
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 1 Too many pods.",
                    }
                ]
            ),
            (
                PodTrouble(
                    text="the pod is not scheduled: Unschedulable: 0/3 nodes are available: 1 Too many pods.",
                    advice=f"make room for it on the node, or give it a priority class {SEE}",
                ),
            ),
        ),
        (
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage."),
            (
                PodTrouble(
                    text="the pod has failed: Evicted: The node was low on resource: ephemeral-storage.",
                    advice=f"find out why the kubelet ended it {SEE}",
                ),
            ),
        ),
        (
            pod(initContainerStatuses=[container(waiting=BACK_OFF)]),
            (
                PodTrouble(
                    text=r"container prefetch does not start: ImagePullBackOff: Back-off\x1b pulling",
                    advice=f"check the image of nodeprefetch and its pull secret {SEE}",
                ),
            ),
        ),
        (
            pod(initContainerStatuses=[container(waiting={"reason": "CrashLoopBackOff"}, restarts=7, last=ENDED)]),
            (
                PodTrouble(
                    text="container prefetch waits to be restarted after exit code 1 (some images could not be pulled)",
                    detail="5m ago, 7 restarts",
                    exit_code=1,
                ),
            ),
        ),
        (
            pod(initContainerStatuses=[container(terminated={"exitCode": 2})]),
            (
                PodTrouble(
                    text="container prefetch has ended with exit code 2 (flags, lists or secrets are invalid)",
                    advice="see docs/troubleshooting.md#nothing-is-pulled-exit-code-2",
                    exit_code=2,
                ),
            ),
        ),
        (
            pod(
                phase="Running",
                containerStatuses=[
                    container("keep", 1, OUT_OF_MEMORY, waiting={"reason": "CrashLoopBackOff"})
                ],
            ),
            (
                PodTrouble(
                    text="container keep waits to be restarted after exit code 137"
                    " (OOMKilled: it used more memory than its limit)",
                    advice=f"raise the memory limit of the container {SEE}",
                    detail="1 restart",
                    exit_code=137,
                ),
            ),
        ),
        (
            pod(initContainerStatuses=[container(running={}, restarts=2, last=ENDED)]),
            (
                PodTrouble(
                    text="container prefetch runs again after exit code 1 (some images could not be pulled)",
                    detail="5m ago, 2 restarts",
                    is_blocking=False,
                    exit_code=1,
                ),
            ),
        ),
        (
            pod(initContainerStatuses=[container(waiting=CREATING)]),
            (
                PodTrouble(
                    text="container prefetch does not start yet: ContainerCreating: waits for a volume",
                    is_blocking=False,
                ),
            ),
        ),
        (
            pod(),
            (
                PodTrouble(
                    text="the kubelet has not started the pod yet", advice=f"check the kubelet of the node {SEE}"
                ),
            ),
        ),
    ],
)  # fmt: skip
def test_the_troubles_of_a_pod(given: Pod, expected: tuple[PodTrouble, ...]):
    assert expected == pod_troubles(given, NOW)


def test_of_a_deleted_pod_nothing_else_is_said():
    deleted = msgspec.convert(
        {"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Pending"}}, Pod
    )

    assert (PodTrouble(text="the pod is being deleted"),) == pod_troubles(deleted, NOW)


def test_messages_lose_their_secrets():
    waiting = {"reason": "ErrImagePull", "message": "Get https://me:hidden@r.test/v2/?token=1: EOF"}
    (trouble,) = pod_troubles(pod(initContainerStatuses=[container(waiting=waiting)]), NOW)

    assert "container prefetch does not start: ErrImagePull: Get https://***@r.test/v2/?…: EOF" == trouble.text


@pytest.mark.parametrize(
    ("code", "text"),
    [(3, "exit code 3 (no container runtime responded)"), (139, "exit code 139 (signal 11)"), (70, "exit code 70")],
)
def test_exit_codes_have_meanings(code: int, text: str):
    assert text == exit_text(Terminated(exit_code=code))


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 70, 137, 143])
def test_the_sections_of_advice_exist(code: int):
    troubles = pod_troubles(pod(initContainerStatuses=[container(terminated={"exitCode": code})]), NOW)
    named = [section for each in troubles for section in re.findall(rf"{PAGE}#([\w-]+)", each.advice)]

    assert set(named) <= anchors(ROOT / PAGE)
    assert len(troubles) == (code != 0)
