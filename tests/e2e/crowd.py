"""Many nodes at an API server that has no controllers: nodes and pods as kubelets and a DaemonSet would make them."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from nodeprefetch.report.label_key import DEFAULT_PREFIX, Summary, label_key, summary_key
from tests.e2e.installation import generate, namespace_object
from tests.support.apiserver import ApiServer

OTHER_IMAGES = 50
"""Of those that a kubelet lists in its node: most of what a node object weighs."""


class Crowd:
    """An installation whose pods are on all nodes, each ready, with every image of the list.

    Args:
        server: has none of these nodes yet.
        name: of the installation.
        namespace: does not exist yet.
        list_file: the image list.
        list_digest: of that list.
        nodes: how many.
    """

    def __init__(
        self, server: ApiServer, *, name: str, namespace: str, list_file: Path, list_digest: str, nodes: int
    ) -> None:
        self.server = server
        self.name = name
        self.namespace = namespace
        self.nodes = [f"node-{number}" for number in range(nodes)]
        self._list_digest = list_digest
        flags = ("--collect-metrics", "--reader-role")
        self.manifest = generate(name, f"--namespace={namespace}", f"--images={list_file}", *flags)

    def join(self) -> None:
        """Make everything."""
        self.server.kubectl.create(namespace_object(self.namespace))
        self.server.kubectl.apply(self.manifest)
        daemon_set = self.server.kubectl.get("daemonset", self.name, self.namespace)
        count = len(self.nodes)
        numbers = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady")
        status = {**dict.fromkeys(numbers, count), "numberMisscheduled": 0}
        status["observedGeneration"] = daemon_set["metadata"]["generation"]
        with _connected(self.server) as connection:
            path = f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets/{self.name}/status"
            _send(connection, "PATCH", path, {"status": status})
            for node in self.nodes:
                _send(connection, "POST", "/api/v1/nodes", self._node(node))
                pods = f"/api/v1/namespaces/{self.namespace}/pods"
                pod = self._pod(node, daemon_set)
                _send(connection, "POST", pods, pod)
                _send(connection, "PATCH", f"{pods}/{pod['metadata']['name']}/status", {"status": _READY})

    def leave(self) -> None:
        """Remove everything but the namespace, whose end takes a controller."""
        with _connected(self.server) as connection:
            for path in (f"/api/v1/namespaces/{self.namespace}/pods?gracePeriodSeconds=0", "/api/v1/nodes"):
                _send(connection, "DELETE", path, None)
        self.server.kubectl.run("delete", "--ignore-not-found", "--filename=-", stdin=self.manifest)

    def _node(self, name: str) -> dict[str, Any]:
        images = [
            {"names": [f"registry.test/other/image-{number}@sha256:{number:064x}"], "sizeBytes": 50_000_000}
            for number in range(OTHER_IMAGES)
        ]
        summary = Summary(
            result="succeeded",
            end="finished",
            images=40,
            succeeded=40,
            present=0,
            failed=0,
            time="2026-01-31T12:00:00Z",
            version="0.1.0",
            list_digest=self._list_digest,
        )
        metadata = {
            "name": name,
            "labels": {"kubernetes.io/os": "linux", label_key(DEFAULT_PREFIX, self.name): "succeeded"},
            "annotations": {summary_key(DEFAULT_PREFIX, self.name): msgspec.json.encode(summary).decode()},
        }
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"images": images}}

    def _pod(self, node: str, daemon_set: Mapping[str, Any]) -> dict[str, Any]:
        template = daemon_set["spec"]["template"]
        generation = {"pod-template-generation": str(daemon_set["metadata"]["generation"])}
        metadata = {
            **template["metadata"],
            "labels": {**template["metadata"]["labels"], **generation},
            "name": f"{self.name}-{node}",
            "namespace": self.namespace,
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": self.name,
                    "uid": daemon_set["metadata"]["uid"],
                    "controller": True,
                }
            ],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], "nodeName": node}}


_READY = {"phase": "Running", "conditions": [{"type": kind, "status": "True"} for kind in ("Initialized", "Ready")]}


@contextmanager
def _connected(server: ApiServer) -> Iterator[http.client.HTTPSConnection]:
    """One connection for thousands of requests, as the administrator."""
    user = yaml.safe_load(server.kubeconfig.read_text())
    login, cluster = user["users"][0]["user"], user["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    context.load_cert_chain(login["client-certificate"], login["client-key"])
    address = urlsplit(cluster["server"])
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context, timeout=300)
    try:
        yield connection
    finally:
        connection.close()


def _send(connection: http.client.HTTPSConnection, method: str, path: str, body: object) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise AssertionError(f"{method} {path}: {answer.status} {text}")
