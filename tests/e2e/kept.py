"""An installation with `keep` on every node, and a registry of its own that shows what nodes ask for."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any

from nodeprefetch.testing.images import Image, make_image
from tests.e2e.warmcluster import WarmCluster
from tests.support.cluster_registry import NodesRegistry
from tests.support.kubectl import KubectlError

NAME, NAMESPACE = "kept", "keep"
LABEL = f"nodeprefetch.io/{NAME}"
CHECK_EVERY = 5
"""Seconds."""

_PODS = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=fetch"
_AGGREGATOR = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=aggregator"
_FLAGS = (
    f"--keep --check-every {CHECK_EVERY}s --refresh-every never --report-every 20s --fetch-arg=--overall-timeout=10s"
)
_ON_THE_FIRST_NODE = '{"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-1"}}}}}'


class Kept:
    """The installation; its aggregator is on the first node."""

    def __init__(self, site: WarmCluster, registry: NodesRegistry) -> None:
        self.site = site
        self.registry = registry
        self.images: dict[str, Image] = {}
        """Of the list: names, as nodes call them."""

        self._numbers = count(1)

    def serve(self) -> str:
        """Have the registry serve one more image; its name, as nodes call it."""
        name = f"keep/image{next(self._numbers)}:1"
        image = make_image([200_000], seed=name)
        self.registry.add(name, image)
        self.images[self.registry.name(name)] = image
        return self.registry.name(name)

    def install(self) -> None:
        self.site.type(
            f"kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=privileged\n"
            f"nodeprefetch-deploy {NAME} --namespace {NAMESPACE} --collect-metrics {_FLAGS} > {NAME}.yaml\n"
            f"kubectl apply -f {NAME}.yaml\n"
            f"kubectl patch deployment {NAME}-metrics --namespace {NAMESPACE} --patch '{_ON_THE_FIRST_NODE}'\n"
            f"kubectl rollout status daemonset/{NAME} --namespace {NAMESPACE} --timeout=5m\n"
            f"kubectl rollout status deployment/{NAME}-metrics --namespace {NAMESPACE} --timeout=5m\n"
        )

    def remove(self) -> None:
        self.site.type(f"kubectl delete -f {NAME}.yaml")

    def edit(self, *, hurry: bool = True) -> None:
        """Edit the ConfigMap, so that it lists all images served so far. No pod restarts.

        Args:
            hurry: let the kubelets update what is mounted at once, as docs/keep.md says.
        """
        lines = "\\n".join(self.images)
        create = f"kubectl create configmap {NAME} --namespace {NAMESPACE}"
        self.site.type(f"{create} --from-literal=images.txt=$'{lines}' --dry-run=client -o yaml | kubectl apply -f -")
        if hurry:
            self.hurry()

    def hurry(self) -> None:
        mark = f"nodeprefetch.io/list-edited={next(self._numbers)}"
        self.site.kubectl.run(
            "annotate", "pods", f"--namespace={NAMESPACE}", f"--selector={_PODS}", "--overwrite", mark
        )

    def remove_image(self, node: int, name: str) -> None:
        """Remove an image from a node, by all names that CRI gives it."""
        repository, image_id = name.rpartition(":")[0], self.images[name].id
        names = [each for each in self.site.images(node) if each.startswith(repository) or each == image_id]
        self.site.cluster.run("ctr", "--namespace=k8s.io", "images", "rm", "--sync", *names, node=node)

    def label(self, node: int) -> str:
        return str(self.site.kubectl.get("node", f"node-{node}")["metadata"]["labels"].get(LABEL, ""))

    @property
    def nodes(self) -> range:
        return range(1, self.site.cluster.nodes + 1)

    @property
    def is_warm(self) -> bool:
        """Whether every node has every image, and says so."""
        return self.site.holds(*self.images) and all(self.label(node) == "succeeded" for node in self.nodes)

    def wait_until_warm(self) -> None:
        """Block until it is so."""
        try:
            self.site.wait_until(lambda: self.is_warm, f"all images and labels: {list(self.images)}")
        except AssertionError as error:
            for node in self.nodes:
                error.add_note(f"node-{node}: label {self.label(node)!r}, images {self.site.images(node)}")
                error.add_note("\n".join(self.log(node).splitlines()[-30:]))
            raise

    def log(self, node: int) -> str:
        """What `keep` on a node has written, also without the API server."""
        files = f"/var/log/pods/{NAMESPACE}_{NAME}-*/keep/*.log"
        return self.site.cluster.run("sh", "-c", f"cat {files}", node=node)

    def collected(self, node: int) -> dict[str, datetime]:
        """Images of the list that the kubelet of a node has removed, and when it did so for the last time."""
        log = self.site.cluster.log_text(f"kubelet-{node}")
        found = {}
        for name, image in self.images.items():
            line = rf'^I(\d{{4}} [\d:.]+) .*"Removing image to free bytes" imageID="{image.id}"'
            if times := re.findall(line, log, re.MULTILINE):
                year = datetime.now().astimezone().year
                found[name] = datetime.strptime(f"{year}{times[-1]}", "%Y%m%d %H:%M:%S.%f").astimezone()
        return found

    def pulled(self, node: int) -> dict[str, datetime]:
        """Images that `keep` has pulled on a node, and when it did so for the last time."""
        lines = re.findall(r'time=(\S+) level=INFO msg="image succeeded" image=(\S+)', self.log(node))
        return {name: datetime.fromisoformat(time) for time, name in lines}

    def pods(self) -> dict[str, int]:
        """Each pod's ID, and how often its containers were restarted."""
        found = self.site.kubectl.items("pods", selector=_PODS, namespace=NAMESPACE)
        return {
            pod["metadata"]["uid"]: sum(
                each["restartCount"]
                for kind in ("initContainerStatuses", "containerStatuses")
                for each in pod["status"].get(kind, [])
            )
            for pod in found
        }

    def repositories_asked(self, node_address: str) -> set[str]:
        """What a node has asked the registry for."""
        return {request.repository for request in self.registry.requests.of(address=node_address) if request.repository}

    def delete_aggregator(self) -> None:
        """With its data."""
        self.site.kubectl.run("delete", "pod", f"--selector={_AGGREGATOR}", f"--namespace={NAMESPACE}")

    def reported(self) -> set[tuple[str, str, str]]:
        """Node, image and state, as the aggregator shows them; empty while it is away."""
        path = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}-metrics:http/proxy/v1/status"
        try:
            status: dict[str, Any] = json.loads(self.site.kubectl.run("get", "--raw", path))
        except KubectlError:
            return set()
        return {
            (node["node"], each["image"], each["state"])
            for instance in status["instances"]
            for node in instance["nodes"]
            for each in node["images"]
        }


@contextmanager
def installed_keep(site: WarmCluster) -> Iterator[Kept]:
    """Inside, it is there, every node has its first image, and so is its registry."""
    with NodesRegistry(site.cluster, "keep.example.com") as registry:
        kept = Kept(site, registry)
        with site.room_for(NAME, NAMESPACE, kept.serve()):
            try:
                kept.install()
                yield kept
            finally:
                kept.remove()
