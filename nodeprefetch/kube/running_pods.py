"""Running pods and their images, as they are decoded, without anything else: a cluster has thousands."""

import msgspec

from nodeprefetch.kube.read_objects import Labels, ObjectPart


class OwnerReference(ObjectPart, frozen=True):
    """An object that a pod belongs to."""

    kind: str
    name: str
    controller: bool = False


class RunningMetadata(ObjectPart, frozen=True):
    """Of a running pod."""

    name: str = ""
    namespace: str = ""
    labels: Labels = None
    owner_references: list[OwnerReference] | None = None


class ImageVolume(ObjectPart, frozen=True):
    """A volume that is an image."""

    reference: str = ""


class RunningVolume(ObjectPart, frozen=True):
    """A volume of a running pod."""

    image: ImageVolume | None = None


class RunningContainer(ObjectPart, frozen=True):
    """A container of a running pod."""

    name: str
    image: str = ""


class RunningContainerStatus(ObjectPart, frozen=True):
    """The image of a container, as the runtime knows it."""

    name: str
    image_id: str = msgspec.field(name="imageID", default="")
    """Often `REPOSITORY@DIGEST`."""


class RunningSpec(ObjectPart, frozen=True):
    """What a running pod is made of."""

    node_name: str = ""
    init_containers: list[RunningContainer] | None = None
    containers: list[RunningContainer] | None = None
    ephemeral_containers: list[RunningContainer] | None = None
    volumes: list[RunningVolume] | None = None


class RunningStatus(ObjectPart, frozen=True):
    """What the kubelet says of the images of a running pod."""

    init_container_statuses: list[RunningContainerStatus] | None = None
    container_statuses: list[RunningContainerStatus] | None = None
    ephemeral_container_statuses: list[RunningContainerStatus] | None = None


class RunningPod(ObjectPart, frozen=True):
    """A pod and its images, without anything else."""

    metadata: RunningMetadata
    spec: RunningSpec = RunningSpec()
    status: RunningStatus = RunningStatus()
