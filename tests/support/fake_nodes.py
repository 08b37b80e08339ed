"""A fake of the calls that write on a node, on virtual time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import trio

from nodeprefetch.kube import Condition, ConflictError, InvalidError, KubeError, Node, NodeEvent, Taint
from nodeprefetch.kube.objects import PodName

HANG = "hang"


@dataclass
class FakeNodes:
    """One node, and what its next calls meet: an error, `HANG`, or None."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, object]] = field(default_factory=list)
    conditions: dict[str, Condition] = field(default_factory=dict)
    events: list[NodeEvent] = field(default_factory=list)
    pods: list[PodName] = field(default_factory=list)
    """Those that match any selector."""

    version: int = 1
    on_connect: list[KubeError | None] = field(default_factory=list)
    on_get: list[object] = field(default_factory=list)
    on_patch: list[object] = field(default_factory=list)
    on_remove: list[object] = field(default_factory=list)
    on_patch_status: list[object] = field(default_factory=list)
    on_create: list[object] = field(default_factory=list)
    on_list: list[object] = field(default_factory=list)
    calls: list[tuple[float, str, object]] = field(default_factory=list)
    """Trio's time, what was asked, and with what: labels, a condition, an event."""

    async def connect(self) -> "FakeNodes":
        """A `nodeprefetch.report.node_api.Connect`."""
        await trio.lowlevel.checkpoint()
        self.calls.append((trio.current_time(), "connect", None))
        error = self.on_connect.pop(0) if self.on_connect else None
        if error:
            raise error
        return self

    async def get_node(self, name: str) -> Node:
        """As `NodeCalls.get_node`."""
        await self._meet("get", self.on_get, name)
        return self._node(name)

    async def patch_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str | None = None,
    ) -> Node:
        """As `NodeCalls.patch_node`."""
        await self._meet("patch", self.on_patch, labels)
        if resource_version not in {None, str(self.version)}:
            raise ConflictError("patching node n1: 409: modified")
        for mine, change in ((self.labels, labels), (self.annotations, annotations)):
            for key, value in (change or {}).items():
                if value is None:
                    mine.pop(key, None)
                else:
                    mine[key] = value
        self.version += 1
        return self._node(name)

    async def remove_taints(self, node: Node, taints: Collection[Taint]) -> Node:
        """As `NodeCalls.remove_taints`."""
        unwanted = list(map(str, taints))
        await self._meet("remove", self.on_remove, unwanted)
        for place, taint in enumerate(node.taints):
            if taint in taints and self.taints[place : place + 1] != [taint.fields]:
                raise InvalidError("removing taints of node n1: 422: the server rejected our request")
        self.taints = [each for each in self.taints if str(Taint.of(each)) not in unwanted]
        self.version += 1
        return self._node(node.name)

    async def patch_node_condition(
        self, name: str, condition: Condition, *, resource_version: str | None = None
    ) -> Node:
        """As `NodeCalls.patch_node_condition`."""
        await self._meet("patch status", self.on_patch_status, condition)
        if resource_version not in {None, str(self.version)}:
            raise ConflictError("patching the status of node n1: 409: modified")
        self.conditions[condition.type] = condition
        self.version += 1
        return self._node(name)

    async def create_node_event(self, event: NodeEvent) -> None:
        """As `NodeCalls.create_node_event`."""
        await self._meet("create", self.on_create, event)
        if event.name in {each.name for each in self.events}:
            raise ConflictError(f'creating an event about node {event.node}: 409: "{event.name}" already exists')
        self.events.append(event)

    async def pods_on_node(self, namespace: str, selector: str, node: str) -> list[PodName]:
        """As `NodeCalls.pods_on_node`."""
        await self._meet("list", self.on_list, (namespace, selector, node))
        return self.pods

    def _node(self, name: str) -> Node:
        return Node(
            name=name,
            labels=dict(self.labels),
            annotations=dict(self.annotations),
            resource_version=str(self.version),
            taints=tuple(map(Taint.of, self.taints)),
            conditions=tuple(self.conditions.values()),
        )

    async def _meet(self, what: str, script: list[object], about: object) -> None:
        await trio.lowlevel.checkpoint()
        self.calls.append((trio.current_time(), what, about))
        met = script.pop(0) if script else None
        if met is HANG:
            await trio.sleep_forever()
        if isinstance(met, KubeError):
            raise met

    def times(self, what: str) -> list[float]:
        """When it was asked for this: seconds since the first call."""
        return [at - self.calls[0][0] for at, each, _ in self.calls if each == what]
