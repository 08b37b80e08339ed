"""A cluster whose new nodes join with taints, and the installations that remove them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.installation import READINESS_RULES
from tests.e2e.warmcluster import IMAGES, NAMESPACE, WarmCluster
from tests.support.kubectl import Kubectl, KubectlError

WEB, LOST, RULED = "web", "lost", "ruled"
"""Installations: of two images in the registry that wants a login, of one that is nowhere, and with a rule."""

TAINTS = {
    WEB: "example.com/web=cold:NoSchedule",
    LOST: "example.com/lost:NoSchedule",
    RULED: "readiness.k8s.io/nodeprefetch-ruled:NoSchedule",
}
MISSING = "quay.io/team/none:1"


class GatedNodes:
    """The nodes. Each runs the fetch pods of the installations that its labels name."""

    def __init__(self, site: WarmCluster) -> None:
        self.site = site
        self.kubectl = site.kubectl

    def install(self) -> None:
        """Install all three, on nodes that are labeled with their names; at first there are none."""
        self.kubectl.apply(READINESS_RULES.read_text("utf-8"))
        self.kubectl.run("wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=5m")
        login = "docker-server=registry.example.com --docker-username=ci-reader --docker-password=not-a-real-password"
        self.site.type(
            f"kubectl create namespace {NAMESPACE}\n"
            f"kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=privileged\n"
            f"kubectl create secret docker-registry registry-login --namespace {NAMESPACE} --{login}\n"
            + "".join(f"echo {image} >> images.txt\n" for image in IMAGES)
            + f"echo {MISSING} > lost.txt\n"
        )
        common = f"--namespace {NAMESPACE} --secret registry-login --no-tolerate-all --restrict-node-access"
        hasty, brief = "--fetch-arg=--report-grace=3s", "--gate-timeout 5s --collect-metrics"
        # Several run on one node that is closed for one of them, so they tolerate its taint.
        for name, flags in (
            (WEB, f"--node-condition --remove-startup-taint {TAINTS[WEB]} --toleration {TAINTS[LOST]} {hasty}"),
            (LOST, f"--node-condition --remove-startup-taint {TAINTS[LOST]} --toleration {TAINTS[WEB]} {brief}"),
            (RULED, f"--node-readiness-rule --toleration {TAINTS[WEB]} {hasty}"),
        ):
            images = "lost.txt" if name == LOST else "images.txt"
            self.site.type(
                f"nodeprefetch-deploy {name} {common} --images {images} --node-selector {name}=yes {flags}"
                " | kubectl apply -f -"
            )

    def join(self, *names: str, beside: str = "") -> int:
        """A node joins, closed for these installations, with the pods of another one; its number."""
        taints, labels = [TAINTS[name] for name in names], [f"{name}=yes" for name in (*names, beside) if name]
        return int(self.site.cluster.add_node(taints=taints, labels=labels).partition("-")[2])

    def close(self, number: int, *images: str) -> None:
        """Make the node as new: without these images, with the taint of `web`, and with other pods."""
        self.site.cluster.run("ctr", "--namespace=k8s.io", "images", "rm", "--sync", *images, node=number)
        self.kubectl.run("taint", "node", f"node-{number}", TAINTS[WEB])
        for name in (WEB, RULED):
            self.replace_pod(name, number)
            self.wait_for_condition(name, number, "False")
            self.wait_until_said(name, number, f"pulling image={images[0]}")  # the condition may be of an earlier run

    def replace_pod(self, name: str, number: int) -> None:
        """Delete the fetch pod on the node; returns when it is gone."""
        (pod,) = self._pods(name, number)
        self.kubectl.run("delete", "pod", pod["metadata"]["name"], f"--namespace={NAMESPACE}")

    def _pods(self, name: str, number: int) -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=fetch"
        pods = self.kubectl.items("pods", selector=selector, namespace=NAMESPACE)
        return [pod for pod in pods if f"node-{number}" == pod["spec"].get("nodeName")]

    def taints(self, number: int) -> set[str]:
        """Keys of its taints, without those of Kubernetes."""
        taints = self.kubectl.get("node", f"node-{number}")["spec"].get("taints", [])
        return {taint["key"] for taint in taints if not taint["key"].startswith("node.kubernetes.io/")}

    def condition(self, name: str, number: int) -> dict[str, str]:
        """The condition of an installation; empty if there is none."""
        conditions = self.kubectl.get("node", f"node-{number}")["status"]["conditions"]
        found: list[dict[str, str]] = [each for each in conditions if each["type"] == f"nodeprefetch.io/{name}"]
        return found[0] if found else {}

    def label(self, name: str, number: int) -> str:
        """Value of the label of an installation."""
        labels: dict[str, str] = self.kubectl.get("node", f"node-{number}")["metadata"]["labels"]
        return labels.get(f"nodeprefetch.io/{name}", "")

    def events(self, name: str, reason: str, number: int) -> int:
        """How many events of an installation about the node there are."""
        wanted = f"--field-selector=reason={reason},involvedObject.name=node-{number}"
        found = self.kubectl.run(
            "get", "events", "--namespace=default", wanted, "--output=jsonpath={.items[*].message}"
        )
        return found.count(f"{name}: ")

    def metrics(self, name: str) -> str:
        """What Prometheus gets from the aggregator of an installation."""
        address = self.kubectl.get("service", f"{name}-metrics", NAMESPACE)["spec"]["clusterIP"]
        return self.site.cluster.run("curl", "-fsS", "--header", "Accept: text/plain", f"http://{address}:8080/metrics")

    def log(self, name: str, number: int) -> str:
        """All that the fetch pods of the node have logged in their runs, from the files that the kubelet keeps."""
        return self.site.cluster.run(
            "sh", "-c", f"cat /var/log/pods/{NAMESPACE}_{name}-*/prefetch/*.log || true", node=number
        )

    def has_said(self, name: str, number: int, text: str) -> bool:
        """Whether that is in the log of a fetch pod on the node."""
        return text in self.log(name, number)

    def wait_until_said(self, name: str, number: int, text: str) -> None:
        """Block until that is in the log."""
        try:
            self.site.wait_until(lambda: self.has_said(name, number, text), f"{name} says: {text}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(name, number)}") from error

    def wait_for_condition(self, name: str, number: int, status: str) -> None:
        """Block until `kubectl wait` sees it."""
        wanted = f"--for=condition=nodeprefetch.io/{name}={status}"
        self.kubectl.run("wait", wanted, f"node/node-{number}", "--timeout=5m")

    def wait_until_open(self, number: int, *names: str) -> None:
        """Block until none of our taints is left, and these installations say that the node is warm."""
        self.site.wait_until(lambda: not self.taints(number) & _KEYS, f"node-{number} without our taints")
        for name in names:
            self.wait_for_condition(name, number, "True")

    def run_pod(self, name: str, number: int) -> None:
        """Create a pod without tolerations, of an image of the list."""
        self.site.run_pod(name, image=IMAGES[0], command="/pause", node=number)

    def is_kept_away(self, pod: str) -> bool:
        """Whether the scheduler has tried to place the pod, and has not because of a taint."""
        status = self.kubectl.get("pod", pod, "default")["status"]
        unplaced = [each for each in status.get("conditions", ()) if each["type"] == "PodScheduled"]
        return "Pending" == status["phase"] and any("untolerated taint" in each.get("message", "") for each in unplaced)

    @contextmanager
    def readiness_controller(self) -> Iterator[None]:
        """A stand-in for the Node Readiness Controller, which does what its rules of mode `bootstrap-only` say."""
        ended = threading.Event()
        worker = threading.Thread(target=_control, args=(self.kubectl, ended))
        worker.start()
        try:
            yield
        finally:
            ended.set()
            worker.join()


_KEYS = {taint.partition(":")[0].partition("=")[0] for taint in TAINTS.values()}


def _control(kubectl: Kubectl, ended: threading.Event) -> None:
    while not ended.wait(0.3):
        for rule in kubectl.items("nodereadinessrules"):
            done = f"readiness.k8s.io/bootstrap-completed-{rule['metadata']['name']}"
            labels = rule["spec"]["nodeSelector"]["matchLabels"]
            for node in kubectl.items("nodes", selector=",".join(f"{key}={value}" for key, value in labels.items())):
                if done not in node["metadata"].get("annotations", {}) and not rule["spec"]["dryRun"]:
                    _apply(kubectl, rule["spec"], node, done)


def _apply(kubectl: Kubectl, rule: dict[str, Any], node: dict[str, Any], done: str) -> None:
    statuses = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    is_ready = all(statuses.get(each["type"], "Unknown") == each["requiredStatus"] for each in rule["conditions"])
    others = [each for each in node["spec"].get("taints", []) if each["key"] != rule["taint"]["key"]]
    change: dict[str, Any] = {
        "metadata": {
            "resourceVersion": node["metadata"]["resourceVersion"],
            **({"annotations": {done: "true"}} if is_ready else {}),
        },
        "spec": {"taints": others if is_ready else [*others, rule["taint"]]},
    }
    _patch(kubectl, node["metadata"]["name"], change)


def _patch(kubectl: Kubectl, node: str, change: dict[str, Any]) -> None:
    try:
        kubectl.run("patch", "node", node, "--type=merge", f"--patch={json.dumps(change)}")
    except KubectlError as error:
        if "Conflict" not in str(error):
            raise
