"""The images of running pods. Pure functions."""

from collections.abc import Iterable, Iterator

from nodeprefetch.discover.images import CLUSTER, FoundPlace
from nodeprefetch.kube.running_pods import RunningPod

_TEMPLATE_HASH = "pod-template-hash"
"""Label with which the name of a Deployment's ReplicaSet ends."""


def running_places(pods: Iterable[RunningPod]) -> Iterator[FoundPlace]:
    """Yield the images of pods, each as often as a pod names it, with their nodes and digests."""
    for pod in pods:
        kind, name = _owner(pod)
        for field, text, digest in _images(pod):
            yield FoundPlace(
                text=text,
                kind=kind,
                name=name,
                namespace=pod.metadata.namespace,
                field=field,
                source=CLUSTER,
                node=pod.spec.node_name,
                digest=digest,
            )


def _images(pod: RunningPod) -> Iterator[tuple[str, str, str]]:
    """Yield field, name and digest of each; the digest is empty until the container was started."""
    spec, status = pod.spec, pod.status
    for field, containers, statuses in (
        ("initContainers", spec.init_containers, status.init_container_statuses),
        ("containers", spec.containers, status.container_statuses),
        ("ephemeralContainers", spec.ephemeral_containers, status.ephemeral_container_statuses),
    ):
        digests = {each.name: each.image_id.partition("@")[2] for each in statuses or ()}
        for index, container in enumerate(containers or ()):
            yield f"spec.{field}[{index}].image", container.image, digests.get(container.name, "")
    for index, volume in enumerate(spec.volumes or ()):
        if volume.image is not None:
            yield f"spec.volumes[{index}].image.reference", volume.image.reference, ""


def _owner(pod: RunningPod) -> tuple[str, str]:
    """Return kind and name of what has created the pod: of the Deployment if there is one."""
    owner = next((each for each in pod.metadata.owner_references or () if each.controller), None)
    if owner is None:
        return "Pod", pod.metadata.name
    of_deployment = f"-{(pod.metadata.labels or {}).get(_TEMPLATE_HASH, '')}"
    if owner.kind == "ReplicaSet" and of_deployment != "-" and owner.name.endswith(of_deployment):
        return "Deployment", owner.name.removesuffix(of_deployment)
    return owner.kind, owner.name
