"""The objects of the Kubernetes API as they are decoded. Objects with other types are rejected."""

from collections.abc import Mapping

import msgspec

NODE_NAME_EXTRA = "authentication.kubernetes.io/node-name"
"""In the extra fields of a user: the node of the pod that a token is bound to, from Kubernetes 1.30 on (KEP 4193)."""


class Taint(msgspec.Struct, frozen=True, kw_only=True):
    """A taint of a node. Its `str` is as `kubectl` writes it: `key=value:effect`."""

    key: str
    effect: str
    value: str = ""
    fields: Mapping[str, object] = msgspec.field(default_factory=dict)
    """All of its fields as they were read, also those that this program does not know."""

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> "Taint":
        """The taint with these fields."""
        key, value, effect = (str(fields.get(name, "")) for name in ("key", "value", "effect"))
        return cls(key=key, value=value, effect=effect, fields=fields)


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A condition in the status of a node. Times are RFC 3339, UTC; empty if unknown."""

    type: str
    status: str
    """`True`, `False` or `Unknown`."""

    reason: str = ""
    message: str = ""
    last_heartbeat_time: str = ""
    last_transition_time: str = ""
    """Since when the status has been what it is."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node, as far as it is read."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    resource_version: str
    """Changes with every change of the object; opaque."""

    creation_timestamp: str = ""
    """RFC 3339, UTC; empty if unknown."""

    taints: tuple[Taint, ...] = ()
    """In the order of the object."""

    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of this type, if there is one."""
        return next((each for each in self.conditions if each.type == kind), None)


class NodeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event about a node, as `kubectl describe node` shows it."""

    name: str
    """Of the object: a DNS subdomain. The API server stores one with this name, until it has expired."""

    node: str
    type: str
    """`Normal` or `Warning`."""

    reason: str
    message: str
    """At most 1,024 characters."""

    time: str
    """RFC 3339, UTC."""

    reporter: str
    """Which instance reports it."""


class PodName(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that has not ended, without what it is made of."""

    name: str
    labels: Mapping[str, str]


class TokenReview(msgspec.Struct, frozen=True, kw_only=True):
    """What the API server reports about a token (authentication.k8s.io/v1)."""

    authenticated: bool
    """The token is valid for the requested audience."""

    username: str = ""
    """`system:serviceaccount:namespace:name` for a service account."""

    node_name: str = ""
    """Node that the token is bound to; empty: none."""

    audiences: tuple[str, ...] = ()
    error: str = ""
    """Why the token is not valid, if the server reports it."""


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    resource_version: str = ""
    creation_timestamp: str | None = None


class _NodeSpec(msgspec.Struct):
    taints: list[dict[str, object]] | None = None


class _ConditionAnswer(msgspec.Struct, rename="camel"):
    type: str
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_heartbeat_time: str | None = None
    last_transition_time: str | None = None

    def condition(self) -> Condition:
        return Condition(
            type=self.type,
            status=self.status,
            reason=self.reason or "",
            message=self.message or "",
            last_heartbeat_time=self.last_heartbeat_time or "",
            last_transition_time=self.last_transition_time or "",
        )


class _NodeStatus(msgspec.Struct):
    conditions: list[_ConditionAnswer] | None = None


class NodeAnswer(msgspec.Struct):
    """A node in an answer; servers omit empty fields."""

    metadata: _Metadata
    spec: _NodeSpec | None = None
    status: _NodeStatus | None = None

    def node(self) -> Node:
        """Convert to what callers use."""
        metadata = self.metadata
        return Node(
            name=metadata.name,
            labels=metadata.labels or {},
            annotations=metadata.annotations or {},
            resource_version=metadata.resource_version,
            creation_timestamp=metadata.creation_timestamp or "",
            taints=tuple(map(Taint.of, (self.spec and self.spec.taints) or ())),
            conditions=tuple(each.condition() for each in (self.status and self.status.conditions) or ()),
        )


class _PodMetadata(msgspec.Struct, rename="camel"):
    name: str = ""
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _PodAnswer(msgspec.Struct):
    metadata: _PodMetadata


class PodsAnswer(msgspec.Struct):
    """Pods in an answer; servers send null for none."""

    items: list[_PodAnswer] | None = None

    def pods(self) -> list[PodName]:
        """Convert to what callers use. Pods that are being deleted are left out."""
        found = (each.metadata for each in self.items or ())
        return [PodName(name=each.name, labels=each.labels or {}) for each in found if not each.deletion_timestamp]


class CreatedAnswer(msgspec.Struct):
    """Any object in the answer to its creation."""

    metadata: _Metadata


class _DaemonSetStatus(msgspec.Struct, rename="camel"):
    desired_number_scheduled: int = 0


class DaemonSetAnswer(msgspec.Struct):
    """A DaemonSet in an answer."""

    status: _DaemonSetStatus


class _User(msgspec.Struct):
    username: str = ""
    extra: dict[str, list[str]] | None = None


class _Status(msgspec.Struct):
    authenticated: bool = False
    user: _User | None = None
    audiences: tuple[str, ...] | None = None
    error: str = ""


class ReviewAnswer(msgspec.Struct):
    """A TokenReview in an answer."""

    status: _Status

    def for_audience(self, audience: str) -> TokenReview:
        """The result for the requested audience. A token that was not checked for it is not authenticated."""
        status, user = self.status, self.status.user or _User()
        audiences = status.audiences or ()
        error = status.error
        authenticated = status.authenticated
        if authenticated and audience not in audiences:
            authenticated, error = False, error or f"the token was not checked for the audience {audience}"
        return TokenReview(
            authenticated=authenticated,
            username=user.username,
            node_name=((user.extra or {}).get(NODE_NAME_EXTRA) or [""])[0],
            audiences=audiences,
            error=error,
        )


class Refusal(msgspec.Struct):
    """`Status` of meta/v1."""

    message: str
