"""Releases of the chart on a cluster, as a user of Helm has them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.e2e.warmcluster import WarmCluster
from tests.support.chart import CHART


@dataclass(frozen=True)
class Release:
    """One; its installation has the name of the release."""

    site: WarmCluster
    name: str
    namespace: str

    def install(self, *flags: str, **values: Any) -> str:
        """Install it; what Helm wrote."""
        return self._apply("install", *flags, **values)

    def upgrade(self, *flags: str, **values: Any) -> str:
        """The same with other values, which replace all earlier ones."""
        return self._apply("upgrade", *flags, **values)

    def helm(self, command: str, *flags: str) -> str:
        """Another command of Helm about this release, in one or two words; what it wrote."""
        return self.site.type(f"helm {command} {self.name} {' '.join(flags)} --namespace {self.namespace}")

    def _apply(self, command: str, *flags: str, **values: Any) -> str:
        given = f"--values - {' '.join(flags)} <<'END'\n{json.dumps(values)}\nEND"
        return self.site.type(f"helm {command} {self.name} {CHART} --namespace {self.namespace} {given}")

    def wait(self, notes: str) -> str:
        """Type what the notes say about waiting; what it wrote."""
        return self.site.type(self.waiting(notes))

    def waiting(self, notes: str) -> str:
        """The command in the notes by which to wait."""
        (command,) = (line.strip() for line in notes.splitlines() if line.startswith("  kubectl nodeprefetch wait "))
        return command

    @property
    def objects(self) -> dict[str, object]:
        """All that has its label, by kind, namespace and name: the generation, or the version where there is none."""
        found = self.site.kubectl.run(
            *("get", self._kinds, "--all-namespaces", f"--selector=app.kubernetes.io/instance={self.name}"),
            *("--output=json", "--ignore-not-found"),
        )
        objects = json.loads(found)["items"] if found else []
        return {
            "/".join([each["kind"], metadata.get("namespace", ""), metadata["name"]]): metadata.get(
                "generation", metadata["resourceVersion"]
            )
            for each in objects
            for metadata in [each["metadata"]]
        }

    @cached_property
    def _kinds(self) -> str:
        kinds = self.site.kubectl.run("api-resources", "--verbs=list,get", "--output=name").split()
        return ",".join(kind for kind in kinds if not kind.startswith(("events", "componentstatuses")))

    @property
    def labels(self) -> set[str]:
        """Values of its node label over all nodes; empty text for none."""
        nodes = self.site.kubectl.items("nodes")
        return {node["metadata"]["labels"].get(f"nodeprefetch.io/{self.name}", "") for node in nodes}

    @property
    def pods(self) -> set[str]:
        """UIDs of its fetch pods."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component=fetch"
        return {
            pod["metadata"]["uid"]
            for pod in self.site.kubectl.items("pods", selector=selector, namespace=self.namespace)
        }

    def daemonset(self) -> dict[str, Any]:
        return self.site.kubectl.get("daemonset", self.name, self.namespace)


@contextmanager
def room_for(site: WarmCluster, name: str, *, level: str = "privileged") -> Iterator[Release]:
    """Inside, there is a namespace for a release; in the end, the release is uninstalled and nothing of it is left.

    What stays on nodes is removed as the documentation says.

    Args:
        site: where.
        name: of the release, and of the namespace.
        level: of PodSecurity.
    """
    release = Release(site, name, f"of-{name}")
    site.type(
        f"kubectl create namespace {release.namespace}\n"
        f"kubectl label namespace {release.namespace} pod-security.kubernetes.io/enforce={level}"
    )
    try:
        yield release
        release.helm("uninstall", "--ignore-not-found", "--wait")
        site.wait_until(lambda: not release.objects, f"nothing is left of {name}: {release.objects}")
    finally:
        site.type(
            f"helm uninstall {name} --namespace {release.namespace} --ignore-not-found\n"
            f"kubectl delete namespace {release.namespace}\n"
            f"kubectl label nodes --all nodeprefetch.io/{name}-\n"
            f"kubectl annotate nodes --all nodeprefetch.io/{name}.summary-\n"
        )
