"""The objects that the commands for people read, as they are decoded. Servers omit empty fields, or send null."""

from typing import Generic, TypeVar

import msgspec

Item = TypeVar("Item")

Labels = dict[str, str] | None


class ObjectPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an object. Fields of other names are ignored."""


class Owner(ObjectPart, frozen=True):
    """An object that another one belongs to."""

    uid: str = ""


class Metadata(ObjectPart, frozen=True):
    """Of any object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    owner_references: list[Owner] | None = None
    labels: Labels = None
    annotations: Labels = None
    generation: int = 0
    creation_timestamp: str | None = None
    """RFC 3339, UTC."""

    deletion_timestamp: str | None = None


class ListMetadata(ObjectPart, frozen=True):
    """Of a list."""

    continue_: str = msgspec.field(name="continue", default="")
    """Token of the next page; empty on the last."""


class EnvVar(ObjectPart, frozen=True):
    """A variable of a container."""

    name: str
    value: str = ""
    value_from: dict[str, object] | None = None
    """Not None: the kubelet finds its value."""


class VolumeMount(ObjectPart, frozen=True):
    """Where a volume is in a container."""

    name: str
    mount_path: str
    sub_path: str = ""


class Container(ObjectPart, frozen=True):
    """A container of a pod's template."""

    name: str
    image: str = ""
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    volume_mounts: list[VolumeMount] | None = None


class KeyToPath(ObjectPart, frozen=True):
    """A key of a ConfigMap, and the file it becomes."""

    key: str
    path: str


class ConfigMapSource(ObjectPart, frozen=True):
    """A ConfigMap in a volume."""

    name: str = ""
    items: list[KeyToPath] | None = None


class ProjectedSource(ObjectPart, frozen=True):
    """A part of a projected volume."""

    config_map: ConfigMapSource | None = None


class Projected(ObjectPart, frozen=True):
    """A projected volume."""

    sources: list[ProjectedSource] | None = None


class Volume(ObjectPart, frozen=True):
    """A volume of a pod's template."""

    name: str
    config_map: ConfigMapSource | None = None
    projected: Projected | None = None


class Toleration(ObjectPart, frozen=True):
    """A taint of nodes that pods tolerate."""

    key: str = ""
    """Empty: all keys."""

    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    """Empty: all effects."""


class PodTemplateSpec(ObjectPart, frozen=True):
    """The pods of a DaemonSet."""

    node_selector: Labels = None
    tolerations: list[Toleration] | None = None
    init_containers: list[Container] | None = None
    containers: list[Container] | None = None
    volumes: list[Volume] | None = None


class PodTemplate(ObjectPart, frozen=True):
    """Template of the pods."""

    spec: PodTemplateSpec = PodTemplateSpec()


class LabelSelector(ObjectPart, frozen=True):
    """Which pods belong to it."""

    match_labels: Labels = None


class DaemonSetSpec(ObjectPart, frozen=True):
    """What a DaemonSet is to be."""

    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()


class DaemonSetStatus(ObjectPart, frozen=True):
    """What has become of it."""

    observed_generation: int = 0
    desired_number_scheduled: int = 0


class DaemonSet(ObjectPart, frozen=True):
    """A DaemonSet of apps/v1."""

    metadata: Metadata
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class Waiting(ObjectPart, frozen=True):
    """A container that does not run yet, or not at the moment."""

    reason: str = ""
    message: str = ""


class Running(ObjectPart, frozen=True):
    """A container that runs."""

    started_at: str | None = None


class Terminated(ObjectPart, frozen=True):
    """A container that has ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(ObjectPart, frozen=True):
    """One of its fields is not None."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(ObjectPart, frozen=True):
    """A container of a pod."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodCondition(ObjectPart, frozen=True):
    """A condition of a pod."""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None


class PodStatus(ObjectPart, frozen=True):
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


class FieldRequirement(ObjectPart, frozen=True):
    """A requirement on a field of a node."""

    key: str
    operator: str = ""
    values: list[str] | None = None


class NodeSelectorTerm(ObjectPart, frozen=True):
    """Which nodes a pod may run on."""

    match_fields: list[FieldRequirement] | None = None


class NodeSelector(ObjectPart, frozen=True):
    """Any of the terms."""

    node_selector_terms: list[NodeSelectorTerm] | None = None


class NodeAffinity(ObjectPart, frozen=True):
    """Which nodes a pod must or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class Affinity(ObjectPart, frozen=True):
    """Where a pod may run."""

    node_affinity: NodeAffinity | None = None


class PodSpec(ObjectPart, frozen=True):
    """What a pod is to be."""

    node_name: str = ""
    affinity: Affinity | None = None


class Pod(ObjectPart, frozen=True):
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


class ConfigMap(ObjectPart, frozen=True):
    """A ConfigMap."""

    metadata: Metadata
    data: dict[str, str] | None = None
    binary_data: dict[str, bytes] | None = None
    """Decoded."""


class ControllerRevision(ObjectPart, frozen=True):
    """A version of a DaemonSet's pods."""

    metadata: Metadata
    revision: int = 0
    """The newest one has the largest."""


class ObjectMetadata(ObjectPart, frozen=True):
    """An object without what is special about its kind."""

    metadata: Metadata


class Page(ObjectPart, Generic[Item], frozen=True):
    """A page of a list."""

    items: list[Item] | None = None
    metadata: ListMetadata = ListMetadata()
