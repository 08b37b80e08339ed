"""The calls of the Kubernetes API: read and patch a node, count a DaemonSet's nodes, review a token."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec
import trio

from nodeprefetch.kube.errors import KubeError
from nodeprefetch.kube.messages import one_line
from nodeprefetch.kube.objects import DaemonSetAnswer, Node, NodeAnswer, ReviewAnswer, TokenReview
from nodeprefetch.kube.server import SERVICE_ACCOUNT, api_server_of_pod

if TYPE_CHECKING:
    from nodeprefetch.kube.client import KubeClient

Kind = TypeVar("Kind")


class Kube:
    """The Kubernetes API. May be used by many tasks at once. All methods raise `KubeError`s.

    A cancelled call returns at once; the API server may still carry it out.

    Args:
        client: sends the requests.
    """

    def __init__(self, client: "KubeClient") -> None:
        self._client = client

    async def get_node(self, name: str) -> Node:
        """Read a node."""
        return (await self._call(NodeAnswer, f"reading node {name}", "GET", _node_path(name))).node()

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
        answer = await self._call(
            NodeAnswer,
            f"patching node {name}",
            "PATCH",
            _node_path(name),
            body={"metadata": metadata},
            content_type="application/merge-patch+json",
        )
        return answer.node()

    async def count_nodes_of(self, namespace: str, daemon_set: str) -> int:
        """Read on how many nodes a DaemonSet's pods should run."""
        path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/daemonsets/{quote(daemon_set, safe='')}"
        answer = await self._call(DaemonSetAnswer, f"reading DaemonSet {daemon_set}", "GET", path)
        return answer.status.desired_number_scheduled

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
    ) -> Kind:
        """Send a request, and decode the object in the answer."""
        answer = await self._client.request(what, method, path, body=body, content_type=content_type, secret=secret)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (ValueError, RecursionError) as error:  # the text names types and keys of ours, no values
            raise KubeError(f"{what}: invalid answer: {error} (is this a Kubernetes API server?)") from None


async def connect(
    kubeconfig: str | None = None,
    *,
    kept_connections: int = 0,
    environment: Mapping[str, str] = MappingProxyType({}),
    mount: Path = SERVICE_ACCOUNT,
) -> Kube:
    """Load the client and find out where the API server is; does not call it.

    Args:
        kubeconfig: a file; None: the pod's service account.
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

    return Kube(await trio.to_thread.run_sync(load, abandon_on_cancel=True))


def _node_path(name: str) -> str:
    return f"/api/v1/nodes/{quote(name, safe='')}"
