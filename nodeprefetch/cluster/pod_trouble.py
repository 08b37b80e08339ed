"""What keeps a pod from pulling images, as its status says. Pure functions."""

from collections.abc import Iterator

import msgspec

from nodeprefetch.cluster.advice import PAGE
from nodeprefetch.kube.read_objects import ContainerStatus, Pod, Terminated
from nodeprefetch.text.scrub import scrub
from nodeprefetch.values.duration import format_age
from nodeprefetch.values.timestamp import parse_timestamp

_SECTION = "the-pod-does-not-become-ready"
_SIGNAL_BASE = 128
_KILLED = 137

_EXIT_CODES = {
    1: ("some images could not be pulled", "an-image-fails"),
    2: ("flags, lists or secrets are invalid", "nothing-is-pulled-exit-code-2"),
    3: ("no container runtime responded", "no-container-runtime-exit-code-3"),
    4: (
        "its startup taints could not be removed, or its condition could not be set",
        "label-condition-and-events-of-the-node",
    ),
    _KILLED: ("killed, usually for its memory", _SECTION),
    143: ("stopped by SIGTERM", _SECTION),
}
"""Meanings of exit codes, and sections of the documentation."""

BETWEEN = {"", "ContainerCreating", "PodInitializing"}
"""Reasons for which containers wait that come before each start."""

_REMEDIES = {
    "ErrImagePull": "check the image of nodeprefetch and its pull secret",
    "ImagePullBackOff": "check the image of nodeprefetch and its pull secret",
    "ErrImageNeverPull": "check the image of nodeprefetch",
    "InvalidImageName": "correct the image of nodeprefetch",
    "CreateContainerConfigError": "create the ConfigMap or Secret that it names",
    "CreateContainerError": "check the container's mounts and user",
    "RunContainerError": "check the container's mounts and user",
}


class PodTrouble(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that keeps a pod from pulling, or has interrupted it."""

    text: str
    """One line without secrets, and without the pod's name: equal for pods with equal troubles."""

    advice: str = ""
    """What to do, one line; empty: nothing, or the error of an image says it."""

    is_blocking: bool = True
    """False: it has been so, and the container runs again."""

    detail: str = ""
    """More, that is different for each pod: when, and how often."""

    exit_code: int | None = None
    """Of the container; None: it has not run."""


def pod_troubles(pod: Pod, now: float) -> tuple[PodTrouble, ...]:
    """Return what is wrong with a pod, the most important first.

    Args:
        pod: of the DaemonSet.
        now: Unix seconds.
    """
    return tuple(_troubles(pod, now))


def exit_text(ended: Terminated) -> str:
    """What the end of a container means: `exit code 1 (some images could not be pulled)`."""
    if ended.reason == "OOMKilled":
        return f"exit code {ended.exit_code} (OOMKilled: it used more memory than its limit)"
    meaning, _ = _EXIT_CODES.get(ended.exit_code, ("", ""))
    if not meaning and ended.exit_code > _SIGNAL_BASE:
        meaning = f"signal {ended.exit_code - _SIGNAL_BASE}"
    return f"exit code {ended.exit_code}{f' ({meaning})' if meaning else ''}"


def _troubles(pod: Pod, now: float) -> Iterator[PodTrouble]:
    status = pod.status
    if pod.metadata.deletion_timestamp:
        yield PodTrouble(text="the pod is being deleted")
        return
    if status.phase == "Failed" and status.reason:
        text = f"the pod has failed: {_said(status.reason, status.message)}"
        yield PodTrouble(text=text, advice=_see("find out why the kubelet ended it"))
        return
    scheduled = status.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        text = f"the pod is not scheduled: {_said(scheduled.reason, scheduled.message)}"
        yield PodTrouble(text=text, advice=_see("make room for it on the node, or give it a priority class"))
        return
    for container in status.containers:
        yield from _container_troubles(container, now)
    if status.phase == "Pending" and not status.containers:
        yield PodTrouble(text="the kubelet has not started the pod yet", advice=_see("check the kubelet of the node"))


def _container_troubles(container: ContainerStatus, now: float) -> Iterator[PodTrouble]:
    state, last = container.state, container.last_state.terminated
    name = f"container {container.name}"
    if state.terminated is not None and state.terminated.exit_code:
        yield _ended(f"{name} has ended with", state.terminated, container, now)
    elif state.waiting is not None and state.waiting.reason == "CrashLoopBackOff" and last is not None:
        yield _ended(f"{name} waits to be restarted after", last, container, now)
    elif state.waiting is not None and state.waiting.reason not in BETWEEN:
        reason = state.waiting.reason
        remedy = _REMEDIES.get(reason, "find out why the kubelet does not start it")
        yield PodTrouble(text=f"{name} does not start: {_said(reason, state.waiting.message)}", advice=_see(remedy))
    elif state.waiting is not None and state.waiting.message:
        said = _said(state.waiting.reason, state.waiting.message)
        yield PodTrouble(text=f"{name} does not start yet: {said}", is_blocking=False)
    elif state.running is not None and last is not None and last.exit_code:
        yield msgspec.structs.replace(
            _ended(f"{name} runs again after", last, container, now), is_blocking=False, advice=""
        )


def _ended(text: str, ended: Terminated, container: ContainerStatus, now: float) -> PodTrouble:
    details = []
    at = parse_timestamp(ended.finished_at or "")
    if at:
        details.append(f"{format_age(now - at)} ago")
    if container.restart_count:
        details.append("1 restart" if container.restart_count == 1 else f"{container.restart_count} restarts")
    _, section = _EXIT_CODES.get(ended.exit_code, ("", _SECTION))
    advice = "" if ended.exit_code in {1, 143} else f"see {PAGE}#{section}"
    if ended.reason == "OOMKilled":
        advice = _see("raise the memory limit of the container")
    shown = f"{text} {exit_text(ended)}"
    return PodTrouble(text=shown, advice=advice, detail=", ".join(details), exit_code=ended.exit_code)


def _said(reason: str | None, message: str | None) -> str:
    """What the kubelet or the scheduler says. Messages quote registries, so they may hold anything."""
    return scrub(": ".join(filter(None, (reason, message)))) or "no reason is given"


def _see(text: str) -> str:
    return f"{text} ({PAGE}#{_SECTION})"
