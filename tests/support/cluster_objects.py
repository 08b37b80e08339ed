"""Objects of a cluster with an installation, as the API server has them, for the fake one and for pure functions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef

IMAGES = ("quay.io/team/a:1", "quay.io/team/b:2")
HASH, GENERATION = "hash-2", "2"


def digest_of(images: Sequence[str] = IMAGES) -> str:
    """What identifies a list."""
    return list_digest(map(ImageRef.parse, images))


def labels(name: str = "web") -> dict[str, str]:
    """Of a DaemonSet and its pods."""
    return {
        "app.kubernetes.io/name": "nodeprefetch",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "fetch",
    }


def daemon_set(
    name: str = "web",
    namespace: str = "infra",
    *,
    desired: int = 1,
    arguments: Sequence[str] = (),
    keep: bool = False,
    generation: int = 3,
    observed: int | None = None,
) -> dict[str, Any]:
    """As `nodeprefetch-deploy NAME --collect-metrics` makes it.

    Args:
        name: of the installation.
        namespace: of the installation.
        desired: number of nodes.
        arguments: more of them.
        keep: it keeps images on the node.
        generation: of the object.
        observed: generation that the controller has acted on; None: this one.
    """
    words = [
        "keep" if keep else "fetch",
        "--image-list-file=/etc/nodeprefetch/list/images.txt",
        "--cri-socket=/run/nodeprefetch/cri/containerd.sock",
        "--node-label-prefix=nodeprefetch.io",
        f"--metrics-endpoint={name}-metrics:8443",
        "--metrics-token-file=/var/run/secrets/nodeprefetch/token",
        *arguments,
    ]
    container = {
        "name": "keep" if keep else "prefetch",
        "image": "ghcr.io/nodeprefetch/nodeprefetch:v1",
        "args": words,
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "INSTANCE_NAME", "value": name},
        ],
        "volumeMounts": [{"name": "image-list", "mountPath": "/etc/nodeprefetch/list", "readOnly": True}],
    }
    sleep = {"name": "sleep", "image": "ghcr.io/nodeprefetch/nodeprefetch:v1", "args": ["sleep"]}
    containers = {"containers": [container]} if keep else {"initContainers": [container], "containers": [sleep]}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "generation": generation,
            "labels": labels(name),
            "annotations": {"deprecated.daemonset.template.generation": GENERATION},
        },
        "spec": {
            "selector": {"matchLabels": labels(name)},
            "template": {
                "metadata": {"labels": labels(name)},
                "spec": {**containers, "volumes": [{"name": "image-list", "configMap": {"name": name}}]},
            },
        },
        "status": {
            "observedGeneration": generation if observed is None else observed,
            "desiredNumberScheduled": desired,
        },
    }


def config_map(
    images: Sequence[str] = IMAGES, name: str = "web", namespace: str = "infra", *, text: str | None = None
) -> dict[str, Any]:
    """The list's."""
    listed = "".join(f"{image}\n" for image in images) if text is None else text
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"images.txt": listed}}


RUNNING: Mapping[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
DONE: Mapping[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """A state of a container."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def not_needed(why: str) -> dict[str, Any]:
    """The state of a container whose run was not needed."""
    message = json.dumps({"outcome": "not-needed", "why": why})
    return {"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    """A state of a container."""
    return {"terminated": {"exitCode": code, "reason": reason}}


def pod(
    node: str = "n1",
    *,
    name: str = "web",
    namespace: str = "infra",
    ready: bool = True,
    fetch: Mapping[str, Any] = DONE,
    fetch_before: Mapping[str, Any] | None = None,
    generation: str = GENERATION,
    revision: str = HASH,
    deleted: bool = False,
    created: str = "2026-01-01T00:00:00Z",
    unscheduled: str = "",
    phase: str = "",
    reason: str = "",
    suffix: str = "",
) -> dict[str, Any]:
    """A pod of the DaemonSet.

    Args:
        node: where it runs, or is to run.
        name: of the installation.
        namespace: of the installation.
        ready: its condition.
        fetch: state of the container that pulls.
        fetch_before: its last state.
        generation: of the template.
        revision: hash of the template.
        deleted: it is being deleted.
        created: RFC 3339.
        unscheduled: the scheduler's message; it runs nowhere.
        phase: of its status.
        reason: of its status.
        suffix: of its name.
    """
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    init = {"name": "prefetch", "ready": fetch is DONE, "restartCount": 1 if fetch_before else 0, "state": dict(fetch)}
    if fetch_before:
        init["lastState"] = dict(fetch_before)
    main = {"name": "sleep", "ready": ready, "state": dict(RUNNING) if ready else waiting("PodInitializing")}
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False", "lastProbeTime": None},
        {
            "type": "PodScheduled",
            "status": "False" if unscheduled else "True",
            **({"reason": "Unschedulable", "message": unscheduled} if unscheduled else {}),
        },
    ]
    return {
        "metadata": {
            "name": f"{name}-{node}{suffix}",
            "namespace": namespace,
            "labels": {**labels(name), "pod-template-generation": generation, "controller-revision-hash": revision},
            "creationTimestamp": created,
            **({"deletionTimestamp": "2026-01-01T00:01:00Z"} if deleted else {}),
        },
        "spec": {
            "affinity": {"nodeAffinity": required},
            **({} if unscheduled else {"nodeName": node}),
        },
        "status": {
            "phase": phase or ("Running" if ready else "Pending"),
            **({"reason": reason} if reason else {}),
            "conditions": conditions,
            **({} if unscheduled else {"initContainerStatuses": [init], "containerStatuses": [main]}),
        },
    }


def revision(number: int, hashed: str, name: str = "web", namespace: str = "infra") -> dict[str, Any]:
    """A version of the DaemonSet's pods."""
    return {
        "metadata": {
            "name": f"{name}-{hashed}",
            "namespace": namespace,
            "labels": {**labels(name), "controller-revision-hash": hashed},
        },
        "revision": number,
    }


def node(
    name: str = "n1",
    *,
    label: str | None = "succeeded",
    images: Sequence[str] = IMAGES,
    failed: str = "",
    error: str = "not found",
    kind: str = "permanent",
    reason: str = "not_found",
    installation: str = "web",
    at: str = "2026-01-01T00:00:00Z",
) -> dict[str, Any]:
    """A node with the label and the annotation of its last run.

    Args:
        name: of the node.
        label: its value; None: neither label nor annotation.
        images: of its list.
        failed: the image that failed.
        error: of that image.
        kind: class of the error.
        reason: of the error.
        installation: its name.
        at: RFC 3339.
    """
    failure = {"image": failed, "error": error, "error_class": kind, "reason": reason}
    summary = {
        "result": label,
        "end": "finished",
        "images": len(images),
        "succeeded": 0,
        "present": len(images) - bool(failed),
        "failed": int(bool(failed)),
        "time": at,
        "version": "v1",
        "list_digest": digest_of(images),
        **({"first_failure": failure} if failed else {}),
    }
    key = f"nodeprefetch.io/{installation}"
    metadata = {"name": name, "labels": {key: label}, "annotations": {f"{key}.summary": json.dumps(summary)}}
    return {"metadata": {"name": name} if label is None else metadata}
