"""An installation whose nodes pull in turn, by tickets of its aggregator, from a registry that shows who pulls."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nodeprefetch.tickets.spread import place
from tests.e2e.warmcluster import IMAGES, WarmCluster
from tests.support.cluster import node_address
from tests.support.cluster_registry import NodesRegistry
from tests.support.kubectl import KubectlError

NAME = "one-by-one"
NAMESPACE = "turns"
_AGGREGATOR = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=aggregator"
_ON_THE_FIRST_NODE = '{"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-1"}}}}}'


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A time in which a node asked the registry for layers, and no other node began to."""

    node: int
    began: float
    ended: float
    """Of its last answer; infinite while one is in progress."""


class Turns:
    """The installation; its aggregator is on the first node."""

    def __init__(self, site: WarmCluster, registry: NodesRegistry) -> None:
        self.site = site
        self.registry = registry

    def install(self) -> None:
        """With a list whose images are on all nodes, which need no ticket. No node may pull."""
        self.site.type(
            f"kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=privileged\n"
            f"nodeprefetch-deploy {NAME} --namespace {NAMESPACE} --secret registry-login --collect-metrics"
            f" --pulling-nodes 0 > {NAME}.yaml\n"
            f"kubectl apply -f {NAME}.yaml\n"
            f"kubectl patch deployment {NAME}-metrics --namespace {NAMESPACE} --patch '{_ON_THE_FIRST_NODE}'\n"
        )
        self.wait_for_rollout()

    def remove(self) -> None:
        self.site.type(f"kubectl delete -f {NAME}.yaml")

    def start(self, *images: str) -> None:
        """Begin to prefetch another list."""
        lines = "\\n".join(images)
        create = f"kubectl create configmap {NAME} --namespace {NAMESPACE}"
        self.site.type(
            f"{create} --from-literal=images.txt=$'{lines}' --dry-run=client -o yaml | kubectl apply -f -\n"
            f"kubectl rollout restart daemonset/{NAME} --namespace {NAMESPACE}\n"
        )

    def wait_for_rollout(self) -> None:
        for kind in ("daemonset/", "deployment/"):
            name = f"{kind}{NAME}{'-metrics' if kind == 'deployment/' else ''}"
            self.site.type(f"kubectl rollout status {name} --namespace {NAMESPACE} --timeout=5m")

    def limit(self, nodes: int) -> None:
        """Edit how many nodes may pull, and wait until the aggregator shows it, as it does once it knows a node."""
        aggregator = f"--namespace={NAMESPACE}"
        patch = json.dumps({"data": {"pulling-nodes": str(nodes)}})
        self.site.kubectl.run("patch", "configmap", f"{NAME}-metrics", aggregator, f"--patch={patch}")
        # The kubelet updates mounted files about once a minute, and whenever the pod changes.
        mark = f"edited={time.monotonic_ns()}"
        self.site.kubectl.run("annotate", "pod", f"--selector={_AGGREGATOR}", "--overwrite", aggregator, mark)
        self.site.wait_until(lambda: self.counts().get("limit") == nodes, f"the limit {nodes} at the aggregator")

    def replace_aggregator(self) -> None:
        """Delete its pod, and wait until the next one answers."""
        self.site.kubectl.run("delete", "pod", f"--selector={_AGGREGATOR}", f"--namespace={NAMESPACE}")
        self.site.wait_until(lambda: bool(self.counts()), "the next aggregator's answer")

    def aggregators(self) -> list[tuple[str, int]]:
        """Names of its pods, and how often each was restarted."""
        pods = self.site.kubectl.items("pods", selector=_AGGREGATOR, namespace=NAMESPACE)
        return [(pod["metadata"]["name"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in pods]

    def counts(self) -> dict[str, Any]:
        """What the aggregator says about the installation's tickets; empty while it is away or knows of none."""
        try:
            status = json.loads(self.site.kubectl.run("get", "--raw", f"{self._proxy}/v1/status"))
        except KubectlError:
            return {}
        found: dict[str, Any] = status["tickets"].get(NAME, {})
        return found

    def wait_for(self, **counts: int) -> None:
        """Block until the aggregator counts so many nodes."""
        self.site.wait_until(lambda: counts.items() <= self.counts().items(), f"{counts} at the aggregator")

    @property
    def _proxy(self) -> str:
        return f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}-metrics:http/proxy"

    @property
    def order(self) -> list[int]:
        """The nodes, in the order of their places."""
        return sorted(range(1, self.site.cluster.nodes + 1), key=lambda node: place(NAME, f"node-{node}"))

    def wait_for_turn(self, number: int) -> int:
        """Block until so many turns have begun; the node of the last of them."""
        self.site.wait_until(lambda: len(self.turns()) >= number, f"turn {number}")
        return self.turns()[number - 1].node

    def turns(self) -> Sequence[Turn]:
        """Who has pulled when, as the registry saw it."""
        numbers = {node_address(number): number for number in range(1, self.site.cluster.nodes + 1)}
        turns: list[Turn] = []
        for request in self.registry.requests.of(method="GET", stage="layer"):
            node, ended = numbers[request.address], float("inf") if request.ended is None else request.ended
            if turns and turns[-1].node == node:
                turns[-1] = Turn(node=node, began=turns[-1].began, ended=max(turns[-1].ended, ended))
            else:
                turns.append(Turn(node=node, began=request.started, ended=ended))
        return turns


@contextmanager
def installed_turns(site: WarmCluster) -> Iterator[Turns]:
    """Inside, it is there, and so is its registry."""
    with NodesRegistry(site.cluster, "turns.example.com") as registry, site.room_for(NAME, NAMESPACE, IMAGES[0]):
        turns = Turns(site, registry)
        try:
            turns.install()
            yield turns
        finally:
            turns.remove()
