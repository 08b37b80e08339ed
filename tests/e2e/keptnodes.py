"""An installation whose pods keep their images: what READY says of it, as users see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.warmcluster import WarmCluster

_FLAGS = "--keep --check-every=2s --secret registry-login --fetch-arg=--overall-timeout=10s"
"""Of the generator: a check often, and an image that cannot be pulled is soon given up."""


@dataclass(kw_only=True)
class KeptNodes:
    """The installation, in a namespace of its own."""

    site: WarmCluster
    name: str
    namespace: str
    flags: str = field(default="")

    def install(self) -> None:
        """Apply what the generator prints. The list and the login are there."""
        self.site.type(
            f"kubectl label namespace {self.namespace} pod-security.kubernetes.io/enforce=privileged --overwrite\n"
            f"nodeprefetch-deploy {self.name} --namespace {self.namespace} {_FLAGS} {self.flags} > {self.name}.yaml\n"
            f"kubectl apply -f {self.name}.yaml\n"
        )

    def remove(self) -> None:
        self.site.type(f"kubectl delete -f {self.name}.yaml")

    def edit_list(self, *images: str) -> None:
        """Change the ConfigMap, and have the kubelets notice at once, as docs/keep.md says."""
        lines = "\\n".join(images)
        self.site.type(
            f"kubectl create configmap {self.name} --namespace {self.namespace} --from-literal=images.txt=$'{lines}'"
            " --dry-run=client -o yaml | kubectl apply -f -\n"
            f"kubectl annotate pods --namespace {self.namespace} --selector app.kubernetes.io/instance={self.name}"
            ' --overwrite nodeprefetch.io/list-edited="$(date +%s)"\n'
        )

    def restart(self) -> None:
        self.site.type(f"kubectl rollout restart daemonset/{self.name} --namespace {self.namespace}")

    def wait_for_rollout(self, limit: str = "5m") -> None:
        """Until it is complete.

        Raises:
            AssertionError: it did not come to its end within the limit.
        """
        self.site.type(f"kubectl rollout status daemonset/{self.name} --namespace {self.namespace} --timeout={limit}")

    @property
    def column(self) -> str:
        """READY, as `kubectl get daemonset` prints it."""
        (line,) = self.site.type(
            f"kubectl get daemonset {self.name} --namespace {self.namespace} --no-headers"
        ).splitlines()
        return line.split()[3]

    def wait_for_column(self, ready: int) -> None:
        """Block until READY is that."""
        self.site.wait_until(lambda: self.column == str(ready), f"{ready} ready nodes of {self.name}")

    @property
    def pods(self) -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/instance={self.name}"
        found = self.site.kubectl.items("pods", selector=selector, namespace=self.namespace)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    @property
    def not_ready(self) -> set[str]:
        """Nodes whose pod is not."""
        return {pod["spec"]["nodeName"] for pod in self.pods if not _is_ready(pod)}

    @property
    def restarts(self) -> int:
        """Of all containers."""
        return sum(status["restartCount"] for pod in self.pods for status in pod["status"]["containerStatuses"])

    @property
    def labels(self) -> dict[str, str | None]:
        """Of each node, ours."""
        return {
            node["metadata"]["name"]: node["metadata"]["labels"].get(f"nodeprefetch.io/{self.name}")
            for node in self.site.kubectl.items("nodes")
        }


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


@contextmanager
def kept_nodes(site: WarmCluster, name: str, *images: str, flags: str = "") -> Iterator[KeptNodes]:
    """Inside, it is installed in a namespace of that name, with that list."""
    kept = KeptNodes(site=site, name=name, namespace=name, flags=flags)
    lines = "\\n".join(images)
    with site.room_for(name, name, f"$'{lines}'"):
        try:
            kept.install()
            yield kept
        finally:
            kept.remove()
