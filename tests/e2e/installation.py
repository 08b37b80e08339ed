"""An installation at an API server that has no controllers: what they and kubelets would make is made by hand."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml

from tests.support.apiserver import Answer, ApiServer
from tests.support.kubectl import Kubectl
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
NODES, EVENTS = "/api/v1/nodes", "/api/v1/namespaces/default/events"
MERGE_PATCH = "application/merge-patch+json"
READINESS_RULES = ROOT / "tests" / "data" / "node-readiness-rules.yaml"
"""The definition of NodeReadinessRules."""


def generate(name: str, *flags: str) -> str:
    """What the generator prints."""
    command = [sys.executable, "-m", "deploy_gen", name, *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def namespace_object(name: str, level: str = "") -> dict[str, Any]:
    """A namespace, with that level of PodSecurity."""
    labels = {"pod-security.kubernetes.io/enforce": level} if level else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One, with two nodes: `n1-a` has the pods, `n1-b` has none, where `n1` is the namespace."""

    server: ApiServer
    name: str
    namespace: str
    manifest: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Of the manifest."""
        return list(yaml.safe_load_all(self.manifest))

    def find(self, kind: str) -> dict[str, Any]:
        """The one object of that kind."""
        (found,) = (each for each in self.objects if each["kind"] == kind)
        return found

    def pod(self, kind: str, name: str = "") -> dict[str, Any]:
        """The pod that the DaemonSet or Deployment is for, on the first node."""
        template = self.find(kind)["spec"]["template"]
        metadata = {**template["metadata"], "name": name or f"{self.name}-{kind.lower()}", "namespace": self.namespace}
        spec = {**template["spec"], "nodeName": self.node}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    @property
    def node(self) -> str:
        """With the pods."""
        return f"{self.namespace}-a"

    @property
    def other_node(self) -> str:
        return f"{self.namespace}-b"

    @property
    def user(self) -> str:
        """The fetch pods', as the API server calls it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def collector(self) -> str:
        """The aggregator's user."""
        return f"{self.user}-metrics"

    def token(self, *, audience: str = "") -> str:
        """What is mounted into the fetch pod."""
        pod = f"{self.name}-daemonset"
        return self.server.token(self.namespace, self.name, audience=audience, pod=pod)

    @property
    def kubectl(self) -> Kubectl:
        """As the fetch pod."""
        return self.server.kubectl_with(self.token())

    @cached_property
    def _token(self) -> str:
        return self.token()

    def ask(self, method: str, path: str, body: object = None, content_type: str = "", *, token: str = "") -> Answer:
        """Send a request as the fetch pod does: what is about nodes as its node, if it acts as that."""
        acts = "--node-access=impersonate" in self.manifest and path.startswith(NODES)
        return self.server.ask(
            method,
            path,
            token=token or self._token,
            user=f"system:node:{self.node}" if acts else "",
            body=body,
            content_type=content_type,
        )

    def collector_token(self) -> str:
        """What is mounted into the aggregator's pod."""
        return self.server.token(self.namespace, f"{self.name}-metrics", pod=f"{self.name}-deployment")

    def metadata(self, node: str, which: str) -> dict[str, str]:
        """Labels or annotations of a node, as the administrator sees them."""
        found: dict[str, str] = self.server.kubectl.get("node", node)["metadata"].get(which, {})
        return found

    def rights(self, user: str, namespace: str) -> set[str]:
        """The lines of `kubectl auth can-i --list`, with single blanks."""
        arguments = ("auth", "can-i", "--list", f"--as={user}", f"--namespace={namespace}")
        return {" ".join(line.split()) for line in self.server.kubectl.run(*arguments).splitlines()}

    def remove(self) -> None:
        """Everything of it but the namespace, whose end takes a controller."""
        delete = partial(self.server.kubectl.run, "delete", "--ignore-not-found", "--wait=false", "--grace-period=0")
        delete("--filename=-", stdin=self.manifest)
        delete("node", self.node, self.other_node)


def install(server: ApiServer, name: str, namespace: str, *flags: str) -> Installation:
    """Install it: objects of the manifest, nodes, pods."""
    return install_manifest(server, name, namespace, generate(name, f"--namespace={namespace}", *flags))


def install_manifest(server: ApiServer, name: str, namespace: str, manifest: str) -> Installation:
    """The same from a manifest."""
    made = Installation(server=server, name=name, namespace=namespace, manifest=manifest)
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"kubernetes.io/os": "linux"}}}
        for node in (made.node, made.other_node)
    ]
    server.kubectl.create(namespace_object(namespace), *nodes)
    server.kubectl.apply(manifest)
    kinds = {each["kind"] for each in made.objects}
    pods = [made.pod(kind) for kind in ("DaemonSet", "Deployment") if kind in kinds]
    server.kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}), "--force-conflicts")
    _wait_for_policies(made)
    return made


def _wait_for_policies(made: Installation, *, patience: float = PATIENCE) -> None:
    """Until each policy refuses a probe, which changes nothing: that takes some seconds after it was applied."""
    label = {"metadata": {"labels": {"probe.io/probe": "x"}}}
    event = {"metadata": {"name": "probe", "namespace": "default"}, "involvedObject": {"kind": "Pod", "name": "probe"}}
    probes: dict[str, Callable[[], Answer]] = {
        "node-access": lambda: made.ask("PATCH", f"{NODES}/{made.node}?dryRun=All", label, MERGE_PATCH),
        "node-events": lambda: made.ask("POST", f"{EVENTS}?dryRun=All", event),
    }
    policies = {each["metadata"]["name"] for each in made.objects if each["kind"] == "ValidatingAdmissionPolicy"}
    deadline = time.monotonic() + patience
    for policy in policies:
        probe = probes[policy.rpartition(".")[2]]
        while policy not in (answer := probe()).message:
            if time.monotonic() > deadline:
                message = f"the policy {policy} refuses nothing after {patience:.0f} s: {answer}"
                raise TimeoutError(message)
            time.sleep(0.2)
