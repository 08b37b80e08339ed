"""The calls of the Kubernetes API that the commands for people make: they only read. `api.py` has those of nodes."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec
import trio

from nodeprefetch.errors import NoAccessError
from nodeprefetch.kube.errors import ForbiddenError, KubeError
from nodeprefetch.kube.objects import Node, NodeAnswer
from nodeprefetch.kube.read_objects import (
    ConfigMap,
    ControllerRevision,
    DaemonSet,
    Metadata,
    ObjectMetadata,
    Page,
    Pod,
)
from nodeprefetch.kube.running_pods import RunningPod
from nodeprefetch.kube.server import SERVICE_ACCOUNT, api_server_of_pod, namespace_of_pod

if TYPE_CHECKING:
    from nodeprefetch.kube.client import KubeClient

PAGE = 500
"""Objects of an answer."""

LARGEST_PAGE = 64 << 20
"""Bytes of an answer with a page of objects, or of an aggregator."""

_JSON = "application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Kind = TypeVar("Kind")


class KubeReads:
    """Reads objects. May be used by many tasks at once. All methods raise `KubeError`s.

    Where a permission is missing they raise `NoAccessError`, with the command that shows it.

    Args:
        client: sends the requests.
        namespace: of the context, or of this pod.
        kubectl_flags: with which `kubectl` asks the same API server as the same user.
    """

    def __init__(self, client: "KubeClient", *, namespace: str, kubectl_flags: tuple[str, ...] = ()) -> None:
        self._client = client
        self.namespace = namespace
        self._kubectl_flags = kubectl_flags

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._client.aclose()

    async def daemon_sets(self, namespace: str | None, labels: Mapping[str, str]) -> list[DaemonSet]:
        """List the DaemonSets with these labels, in a namespace or, with None, in all."""
        call = _Call(
            "listing DaemonSets", f"/apis/apps/v1{_in(namespace)}/daemonsets", "list daemonsets.apps", namespace
        )
        return await self._list(DaemonSet, call, _with_labels(labels))

    async def daemon_set(self, namespace: str, name: str) -> DaemonSet:
        """Read a DaemonSet."""
        path = f"/apis/apps/v1{_in(namespace)}/daemonsets/{_quoted(name)}"
        what = f"reading DaemonSet {name} in {namespace}"
        return await self._get(DaemonSet, _Call(what, path, f"get daemonsets.apps/{name}", namespace))

    async def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Pod]:
        """List the pods with these labels."""
        call = _Call(f"listing pods in {namespace}", f"/api/v1{_in(namespace)}/pods", "list pods", namespace)
        return await self._list(Pod, call, _with_labels(labels))

    async def running_pods(self, namespace: str | None, *, selector: str = "", node: str = "") -> list[RunningPod]:
        """List the pods that have not ended, with their images.

        Args:
            namespace: None: all.
            selector: of labels, as kubectl takes it; empty: all.
            node: only pods on this node; empty: on all.
        """
        fields = ["status.phase!=Succeeded", "status.phase!=Failed", *([f"spec.nodeName={node}"] if node else [])]
        where = "all namespaces" if namespace is None else namespace
        call = _Call(f"listing pods in {where}", f"/api/v1{_in(namespace)}/pods", "list pods", namespace)
        query = {"fieldSelector": ",".join(fields), **({"labelSelector": selector} if selector else {})}
        return await self._list(RunningPod, call, query)

    async def nodes(self) -> list[Metadata]:
        """List the metadata of all nodes."""
        call = _Call("listing nodes", "/api/v1/nodes", "list nodes", "", accept=_METADATA_LIST)
        return [each.metadata for each in await self._list(ObjectMetadata, call, {})]

    async def whole_node(self, name: str) -> Node:
        """Read a node with its conditions and taints."""
        call = _Call(f"reading node {name}", f"/api/v1/nodes/{_quoted(name)}", f"get nodes/{name}", "")
        return (await self._get(NodeAnswer, call)).node()

    async def config_map(self, namespace: str, name: str) -> ConfigMap:
        """Read a ConfigMap."""
        path = f"/api/v1{_in(namespace)}/configmaps/{_quoted(name)}"
        what = f"reading ConfigMap {name} in {namespace}"
        return await self._get(ConfigMap, _Call(what, path, f"get configmaps/{name}", namespace))

    async def revisions(self, namespace: str, labels: Mapping[str, str]) -> list[ControllerRevision]:
        """List the versions of the pods with these labels."""
        path, what = f"/apis/apps/v1{_in(namespace)}/controllerrevisions", f"listing ControllerRevisions in {namespace}"
        call = _Call(what, path, "list controllerrevisions.apps", namespace)
        return await self._list(ControllerRevision, call, _with_labels(labels))

    async def service_answer(self, namespace: str, service: str, port: str, path: str) -> bytes:
        """Send a GET request to a Service over HTTP, through the API server. Returns the body.

        Args:
            namespace: of the Service.
            service: its name.
            port: name of its port.
            path: with the query, quoted.

        Raises:
            NoAccessError: a permission is missing.
            KubeError: the status is not 2xx. It may be the API server's or the Service's.
        """
        proxied = f"/api/v1{_in(namespace)}/services/{_quoted(service)}:{_quoted(port)}/proxy{path}"
        check = f"get services/{service}:{port} --subresource=proxy"
        return await self._ask(_Call(f"asking Service {service} in {namespace}", proxied, check, namespace))

    async def pod_log(self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """Read the last lines that a container has written.

        Args:
            namespace: of the pod.
            pod: its name.
            container: its name.
            lines: at most so many.
            previous: of the container before its last restart.
        """
        query = {"container": container, "tailLines": lines, **({"previous": "true"} if previous else {})}
        path = f"/api/v1{_in(namespace)}/pods/{_quoted(pod)}/log?{urlencode(query)}"
        what = f"reading the log of pod {pod} in {namespace}"
        call = _Call(
            what, path, f"get pods/{pod} --subresource=log", namespace, accept="text/plain, application/json, */*"
        )
        return (await self._ask(call)).decode(errors="replace")

    async def _list(self, kind: type[Kind], call: "_Call", selectors: Mapping[str, str]) -> list[Kind]:
        """Read all pages of a list. The selectors are parameters of the query."""
        query: dict[str, object] = {"limit": PAGE, **selectors}
        page_of = cast("type[Page[Kind]]", Page[kind])  # type: ignore[valid-type]
        found: list[Kind] = []
        while True:
            page = await self._get(page_of, call._replace(path=f"{call.path}?{urlencode(query)}"))
            found += page.items or ()
            if not page.metadata.continue_:
                return found
            query["continue"] = page.metadata.continue_

    async def _get(self, kind: type[Kind], call: "_Call") -> Kind:
        answer = await self._ask(call)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (ValueError, RecursionError) as error:  # the text names types and keys of ours, no values
            raise KubeError(f"{call.what}: invalid answer: {error} (is this a Kubernetes API server?)") from None

    async def _ask(self, call: "_Call") -> bytes:
        try:
            return await self._client.request(call.what, "GET", call.path, accept=call.accept, largest=LARGEST_PAGE)
        except ForbiddenError as error:
            where = ["-A"] if call.namespace is None else ["-n", call.namespace] if call.namespace else []
            words = ["kubectl", *self._kubectl_flags, "auth", "can-i", *call.check.split(), *where]
            raise NoAccessError(str(error), check=shlex.join(words)) from error


class _Call(NamedTuple):
    what: str
    """Begins the text of errors."""

    path: str
    check: str
    """Words for `kubectl auth can-i`."""

    namespace: str | None
    """None: all; empty: the object is in none."""

    accept: str = _JSON


async def connect_reads(
    kubeconfig: str | None = None,
    *,
    context: str | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    mount: Path = SERVICE_ACCOUNT,
) -> KubeReads:
    """Load the client and find out where the API server is; does not call it. `KubeReads.aclose` must be called.

    Args:
        kubeconfig: a file; None: as `kubectl` finds it ($KUBECONFIG, ~/.kube/config), otherwise the pod's service
            account.
        context: of the kubeconfig; None: the current one.
        environment: the variables.
        mount: directory of the service account.

    Raises:
        NotInClusterError: no kubeconfig, and no service account.
        KubeConfigError: the kubeconfig cannot be used.
        KubeError: an address is invalid.
    """

    def load() -> KubeReads:
        from nodeprefetch.kube.client import CALLS_AT_ONCE, KubeClient  # noqa: PLC0415 - httpcore takes a while
        from nodeprefetch.kube.kubeconfig import find_kubeconfig, read_kubeconfig  # noqa: PLC0415 - only for people

        paths = find_kubeconfig(kubeconfig, environment)
        flags: list[str] = []
        if paths or context:
            login = read_kubeconfig(paths, context)
            server, namespace = login.server, login.namespace
            flags += ["--kubeconfig", kubeconfig] if kubeconfig else []
            flags += ["--context", context] if context else []
        else:
            server = api_server_of_pod(environment, mount)
            namespace = namespace_of_pod(mount)
        client = KubeClient(server, environment, kept_connections=CALLS_AT_ONCE)
        return KubeReads(client, namespace=namespace, kubectl_flags=tuple(flags))

    return await trio.to_thread.run_sync(load, abandon_on_cancel=True)


def _with_labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else {}


def _in(namespace: str | None) -> str:
    return "" if namespace is None else f"/namespaces/{_quoted(namespace)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
