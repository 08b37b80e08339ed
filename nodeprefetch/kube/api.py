"""The calls of the Kubernetes API: nodes, their events, pods and number, and reviews of tokens."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import trio

from nodeprefetch.kube.errors import KubeError
from nodeprefetch.kube.messages import one_line
from nodeprefetch.kube.objects import (
    Condition,
    CreatedAnswer,
    DaemonSetAnswer,
    Node,
    NodeAnswer,
    NodeEvent,
    PodName,
    PodsAnswer,
    ReviewAnswer,
    Taint,
    TokenReview,
)
from nodeprefetch.kube.server import SERVICE_ACCOUNT, api_server_of_pod

if TYPE_CHECKING:
    from nodeprefetch.kube.client import KubeClient

Kind = TypeVar("Kind")

EVENT_NAMESPACE = "default"
"""Of events about objects without a namespace, such as nodes: the API server allows no other for them."""

REPORTER = "nodeprefetch"

_JSON = "application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Kube:
    """The Kubernetes API. May be used by many tasks at once. All methods raise `KubeError`s.

    A cancelled call returns at once; the API server may still carry it out.

    Args:
        client: sends the requests.
        as_node: act as the node itself in requests about a node (constrained impersonation, KEP-5284).
    """

    def __init__(self, client: "KubeClient", *, as_node: bool = False) -> None:
        self._client = client
        self._as_node = as_node

    async def get_node(self, name: str) -> Node:
        """Read a node."""
        return await self._call_node(f"reading node {name}", "GET", name)

    async def patch_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str | None = None,
    ) -> Node:
        """Change labels and annotations of a node with one request (JSON merge patch, RFC 7386).

        Args:
            name: of the node.
            labels: values by key; None removes the key. Keys that are not named stay.
            annotations: the same.
            resource_version: change only this version of the node; any other raises `ConflictError`.
        """
        metadata: dict[str, object] = {"labels": labels or {}, "annotations": annotations or {}}
        if resource_version is not None:
            metadata["resourceVersion"] = resource_version
        return await self._call_node(
            f"patching node {name}",
            "PATCH",
            name,
            body={"metadata": metadata},
            content_type="application/merge-patch+json",
        )

    async def remove_taints(self, node: Node, taints: Collection[Taint]) -> Node:
        """Remove taints from a node with one request (JSON patch, RFC 6902). Whatever else writes taints loses none.

        Never made as the node itself, which may not change its taints (NodeRestriction).

        Args:
            node: as it was read.
            taints: some of its taints.

        Raises:
            InvalidError: another taint is at the place of one of them by now, so nothing was removed: read the node
                again. Also raised where an admission policy refuses the removal.
        """
        changes: list[dict[str, object]] = []
        for place in reversed(range(len(node.taints))):  # from the end: a removal moves those after it
            if node.taints[place] in taints:
                path = f"/spec/taints/{place}"
                changes += [
                    {"op": "test", "path": path, "value": node.taints[place].fields},
                    {"op": "remove", "path": path},
                ]
        return await self._call_node(
            f"removing taints of node {node.name}",
            "PATCH",
            node.name,
            body=changes,
            content_type="application/json-patch+json",
            may_be_as_node=False,
        )

    async def patch_node_condition(
        self, name: str, condition: Condition, *, resource_version: str | None = None
    ) -> Node:
        """Set one condition of a node with one request (strategic merge patch: conditions are merged by their types).

        Args:
            name: of the node.
            condition: replaces that of its type. All others stay.
            resource_version: change only this version of the node; any other raises `ConflictError`.
        """
        body: dict[str, object] = {"status": {"conditions": [condition]}}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        return await self._call_node(
            f"patching the status of node {name}",
            "PATCH",
            name,
            subresource="status",
            body=body,
            content_type="application/strategic-merge-patch+json",
        )

    async def create_node_event(self, event: NodeEvent) -> None:
        """Create an event about a node (core/v1), in the namespace `default`.

        Raises:
            ConflictError: an event of this name is there already.
        """
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event.name, "namespace": EVENT_NAMESPACE},
            # The name takes the place of the UID, as the kubelet does it: `kubectl describe node` looks for both.
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": event.node, "uid": event.node},
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": {"component": REPORTER, "host": event.node},
            "reportingComponent": REPORTER,
            "reportingInstance": event.reporter,
            "firstTimestamp": event.time,
            "lastTimestamp": event.time,
            "count": 1,
        }
        path = f"/api/v1/namespaces/{EVENT_NAMESPACE}/events"
        await self._call(CreatedAnswer, f"creating an event about node {event.node}", "POST", path, body=body)

    async def count_nodes_of(self, namespace: str, daemon_set: str) -> int:
        """Read on how many nodes a DaemonSet's pods should run."""
        path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/daemonsets/{quote(daemon_set, safe='')}"
        answer = await self._call(DaemonSetAnswer, f"reading DaemonSet {daemon_set}", "GET", path)
        return answer.status.desired_number_scheduled

    async def pods_on_node(self, namespace: str, selector: str, node: str) -> list[PodName]:
        """List the pods with these labels that are on a node: neither ended nor being deleted; they may not run yet.

        Args:
            namespace: of the pods.
            selector: of labels, as kubectl takes it.
            node: its name.
        """
        fields = f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"
        query = urlencode({"fieldSelector": fields, "labelSelector": selector})
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods?{query}"
        answer = await self._call(PodsAnswer, f"listing pods in {namespace}", "GET", path, accept=_METADATA_LIST)
        return answer.pods()

    async def review_token(self, token: str, audience: str) -> TokenReview:
        """Find out whether a token is valid for an audience, and to whom it belongs.

        A server that does not name that audience in its answer has not checked it: the token then is not valid.
        """
        answer = await self._call(
            ReviewAnswer,
            "reviewing a token",
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [audience]},
            },
            secret=token,
        )
        review = answer.for_audience(audience)
        return msgspec.structs.replace(review, error=one_line(review.error, (token,)))

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._client.aclose()

    async def _call_node(
        self,
        what: str,
        method: str,
        name: str,
        *,
        subresource: str = "",
        body: object = None,
        content_type: str = "application/json",
        may_be_as_node: bool = True,
    ) -> Node:
        """Send a request about a node, or about a part of it such as its `status`, and decode the node."""
        path = f"/api/v1/nodes/{quote(name, safe='')}{f'/{subresource}' if subresource else ''}"
        user = f"system:node:{name}" if self._as_node and may_be_as_node else ""
        answer = await self._call(NodeAnswer, what, method, path, body=body, content_type=content_type, user=user)
        return answer.node()

    async def _call(
        self,
        kind: type[Kind],
        what: str,
        method: str,
        path: str,
        *,
        body: object = None,
        content_type: str = "application/json",
        secret: str = "",
        user: str = "",
        accept: str = _JSON,
    ) -> Kind:
        """Send a request, and decode the object in the answer."""
        answer = await self._client.request(
            what, method, path, body=body, content_type=content_type, secret=secret, user=user, accept=accept
        )
        try:
            return msgspec.json.decode(answer, type=kind)
        except (ValueError, RecursionError) as error:  # the text names types and keys of ours, no values
            raise KubeError(f"{what}: invalid answer: {error} (is this a Kubernetes API server?)") from None


async def connect(
    kubeconfig: str | None = None,
    *,
    as_node: bool = False,
    kept_connections: int = 0,
    environment: Mapping[str, str] = MappingProxyType({}),
    mount: Path = SERVICE_ACCOUNT,
) -> Kube:
    """Load the client and find out where the API server is; does not call it.

    Args:
        kubeconfig: a file; None: the pod's service account.
        as_node: act as the node itself in requests about a node.
        kept_connections: number of connections to keep open between calls; if not 0, `Kube.aclose` must be called.
        environment: the variables with the address of the API server and of proxies.
        mount: directory of the service account.

    Raises:
        NotInClusterError: no kubeconfig, and no service account.
        KubeConfigError: the kubeconfig cannot be used.
        KubeError: an address is invalid.
    """

    def load() -> "KubeClient":
        from nodeprefetch.kube.client import KubeClient  # noqa: PLC0415 - httpcore takes a while

        if kubeconfig is None:
            server = api_server_of_pod(environment, mount)
        else:
            from nodeprefetch.kube.kubeconfig import api_server_of_kubeconfig  # noqa: PLC0415 - only for people

            server = api_server_of_kubeconfig(kubeconfig)
        return KubeClient(server, environment, kept_connections=kept_connections)

    return Kube(await trio.to_thread.run_sync(load, abandon_on_cancel=True), as_node=as_node)
