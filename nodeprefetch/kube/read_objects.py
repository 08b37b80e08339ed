"""The objects that the commands for people read, as they are decoded. Servers omit empty fields, or send null."""

from typing import Generic, TypeVar

import msgspec

Item = TypeVar("Item")

Labels = dict[str, str] | None


class _Field(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an object. Fields of other names are ignored."""


class Metadata(_Field, frozen=True):
    """Of any object."""

    name: str = ""
    namespace: str = ""
    labels: Labels = None
    annotations: Labels = None
    generation: int = 0
    creation_timestamp: str | None = None
    """RFC 3339, UTC."""

    deletion_timestamp: str | None = None


class ListMetadata(_Field, frozen=True):
    """Of a list."""

    continue_: str = msgspec.field(name="continue", default="")
    """Token of the next page; empty on the last."""


class EnvVar(_Field, frozen=True):
    """A variable of a container."""

    name: str
    value: str = ""
    value_from: dict[str, object] | None = None
    """Not None: the kubelet finds its value."""


class VolumeMount(_Field, frozen=True):
    """Where a volume is in a container."""

    name: str
    mount_path: str
    sub_path: str = ""


class Container(_Field, frozen=True):
    """A container of a pod's template."""

    name: str
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    volume_mounts: list[VolumeMount] | None = None


class KeyToPath(_Field, frozen=True):
    """A key of a ConfigMap, and the file it becomes."""

    key: str
    path: str


class ConfigMapSource(_Field, frozen=True):
    """A ConfigMap in a volume."""

    name: str = ""
    items: list[KeyToPath] | None = None


class ProjectedSource(_Field, frozen=True):
    """A part of a projected volume."""

    config_map: ConfigMapSource | None = None


class Projected(_Field, frozen=True):
    """A projected volume."""

    sources: list[ProjectedSource] | None = None


class Volume(_Field, frozen=True):
    """A volume of a pod's template."""

    name: str
    config_map: ConfigMapSource | None = None
    projected: Projected | None = None


class Toleration(_Field, frozen=True):
    """A taint of nodes that pods tolerate."""

    key: str = ""
    """Empty: all keys."""

    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    """Empty: all effects."""


class PodTemplateSpec(_Field, frozen=True):
    """The pods of a DaemonSet."""

    node_selector: Labels = None
    tolerations: list[Toleration] | None = None
    init_containers: list[Container] | None = None
    containers: list[Container] | None = None
    volumes: list[Volume] | None = None


class PodTemplate(_Field, frozen=True):
    """Template of the pods."""

    spec: PodTemplateSpec = PodTemplateSpec()


class LabelSelector(_Field, frozen=True):
    """Which pods belong to it."""

    match_labels: Labels = None


class DaemonSetSpec(_Field, frozen=True):
    """What a DaemonSet is to be."""

    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()


class DaemonSetStatus(_Field, frozen=True):
    """What has become of it."""

    observed_generation: int = 0
    desired_number_scheduled: int = 0


class DaemonSet(_Field, frozen=True):
    """A DaemonSet of apps/v1."""

    metadata: Metadata
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class Waiting(_Field, frozen=True):
    """A container that does not run yet, or not at the moment."""

    reason: str = ""
    message: str = ""


class Running(_Field, frozen=True):
    """A container that runs."""

    started_at: str | None = None


class Terminated(_Field, frozen=True):
    """A container that has ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(_Field, frozen=True):
    """One of its fields is not None."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Field, frozen=True):
    """A container of a pod."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodCondition(_Field, frozen=True):
    """A condition of a pod."""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None


class PodStatus(_Field, frozen=True):
    """What has become of a pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[PodCondition] | None = None
    init_container_statuses: list[ContainerStatus] | None = None
    container_statuses: list[ContainerStatus] | None = None

    @property
    def containers(self) -> tuple[ContainerStatus, ...]:
        """All containers, in the order in which they are started."""
        return (*(self.init_container_statuses or ()), *(self.container_statuses or ()))

    def condition(self, kind: str) -> PodCondition | None:
        """Return the condition of this type, if there is one."""
        return next((each for each in self.conditions or () if each.type == kind), None)


class FieldRequirement(_Field, frozen=True):
    """A requirement on a field of a node."""

    key: str
    operator: str = ""
    values: list[str] | None = None


class NodeSelectorTerm(_Field, frozen=True):
    """Which nodes a pod may run on."""

    match_fields: list[FieldRequirement] | None = None


class NodeSelector(_Field, frozen=True):
    """Any of the terms."""

    node_selector_terms: list[NodeSelectorTerm] | None = None


class NodeAffinity(_Field, frozen=True):
    """Which nodes a pod must or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class Affinity(_Field, frozen=True):
    """Where a pod may run."""

    node_affinity: NodeAffinity | None = None


class PodSpec(_Field, frozen=True):
    """What a pod is to be."""

    node_name: str = ""
    affinity: Affinity | None = None


class Pod(_Field, frozen=True):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def node(self) -> str:
        """The node it runs on, or the one it is for: a DaemonSet's pod names it in its affinity. May be empty."""
        if self.spec.node_name or self.spec.affinity is None or self.spec.affinity.node_affinity is None:
            return self.spec.node_name
        required = self.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
        for term in (required and required.node_selector_terms) or ():
            for field in term.match_fields or ():
                if field.key == "metadata.name" and field.operator == "In" and len(field.values or ()) == 1:
                    return (field.values or [""])[0]
        return ""


class OwnerReference(_Field, frozen=True):
    """An object that a pod belongs to."""

    kind: str
    name: str
    controller: bool = False


class RunningMetadata(_Field, frozen=True):
    """Of a running pod."""

    name: str = ""
    namespace: str = ""
    labels: Labels = None
    owner_references: list[OwnerReference] | None = None


class ImageVolume(_Field, frozen=True):
    """A volume that is an image."""

    reference: str = ""


class RunningVolume(_Field, frozen=True):
    """A volume of a running pod."""

    image: ImageVolume | None = None


class RunningContainer(_Field, frozen=True):
    """A container of a running pod."""

    name: str
    image: str = ""


class RunningContainerStatus(_Field, frozen=True):
    """The image of a container, as the runtime knows it."""

    name: str
    image_id: str = msgspec.field(name="imageID", default="")
    """Often `REPOSITORY@DIGEST`."""


class RunningSpec(_Field, frozen=True):
    """What a running pod is made of."""

    node_name: str = ""
    init_containers: list[RunningContainer] | None = None
    containers: list[RunningContainer] | None = None
    ephemeral_containers: list[RunningContainer] | None = None
    volumes: list[RunningVolume] | None = None


class RunningStatus(_Field, frozen=True):
    """What the kubelet says of the images of a running pod."""

    init_container_statuses: list[RunningContainerStatus] | None = None
    container_statuses: list[RunningContainerStatus] | None = None
    ephemeral_container_statuses: list[RunningContainerStatus] | None = None


class RunningPod(_Field, frozen=True):
    """A pod and its images, without anything else."""

    metadata: RunningMetadata
    spec: RunningSpec = RunningSpec()
    status: RunningStatus = RunningStatus()


class ConfigMap(_Field, frozen=True):
    """A ConfigMap."""

    metadata: Metadata
    data: dict[str, str] | None = None
    binary_data: dict[str, bytes] | None = None
    """Decoded."""


class ControllerRevision(_Field, frozen=True):
    """A version of a DaemonSet's pods."""

    metadata: Metadata
    revision: int = 0
    """The newest one has the largest."""


class ObjectMetadata(_Field, frozen=True):
    """An object without what is special about its kind."""

    metadata: Metadata


class Page(_Field, Generic[Item], frozen=True):
    """A page of a list."""

    items: list[Item] | None = None
    metadata: ListMetadata = ListMetadata()
