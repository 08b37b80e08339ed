"""docs/rollout.md, as files to use and commands to type; and what became of a workload's pods on a cluster."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.installation import ROOT
from tests.e2e.readme import commands, section
from tests.e2e.warmcluster import WarmCluster

PAGE = (ROOT / "docs" / "rollout.md").read_text("utf-8")
PIPELINE, HELM, ARGO = "In a pipeline", "As a hook of Helm", "As a hook of Argo CD"
WITHOUT_DAEMON_SETS = "Without the right to create DaemonSets"

SHOP, APP = "shop", "web"
"""Namespace and name of the workload."""

REPOSITORY = "shop.example.com/web"
"""Its images, in a registry that wants no login."""

_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([a-z]+(?:/[a-zA-Z_]+)+\.(?:yaml|tpl))`")


def part(title: str, subtitle: str = "") -> str:
    """A section of the page: what is before its first heading of the third level, or what follows the given one."""
    first, *rest = re.split(r"^### (.*)$", section(title, PAGE), flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))[subtitle] if subtitle else first


def scripts(text: str) -> list[str]:
    """Its shell blocks."""
    return [commands(each + "```\n") for each in re.split(r"^```\n", text, flags=re.MULTILINE) if "```sh\n" in each]


def files(text: str) -> dict[str, str]:
    """Path to content of the YAML blocks: each has the file that is named last before it."""
    found, end = {}, 0
    for block in _YAML.finditer(text):
        found[_FILE.findall(text[end : block.start()])[-1]] = block[1]
        end = block.end()
    return found


def deployment(image: str, **pod_spec: Any) -> dict[str, Any]:
    """The workload: two pods, each on a node of its own, replaced one after the other."""
    labels = {"app": APP}
    apart = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [{"name": APP, "image": image, "command": ["/pause"], "imagePullPolicy": "IfNotPresent"}],
        **pod_spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": APP, "namespace": SHOP},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


ON_WARM_NODES = {"nodeSelector": {f"nodeprefetch.io/{APP}": "succeeded"}}
"""As the page says."""


def write(directory: Path, name: str, content: str | dict[str, Any]) -> None:
    """Write a file: text, or an object as YAML."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))


class Workload:
    """The workload on the cluster."""

    def __init__(self, site: WarmCluster) -> None:
        self._site = site

    def wait(self) -> None:
        """Until all pods are of the newest version and ready."""
        self._site.type(f"kubectl rollout status deployment/{APP} --namespace {SHOP} --timeout 5m")

    def nodes(self, image: str) -> set[str]:
        """Where pods with this image run."""
        pods = self._site.kubectl.items("pods", selector=f"app={APP}", namespace=SHOP)
        return {
            pod["spec"]["nodeName"]
            for pod in pods
            if pod["spec"]["containers"][0]["image"] == image and "deletionTimestamp" not in pod["metadata"]
        }

    def pulled(self, image: str) -> list[str]:
        """What the kubelets say of the image, `REASON: MESSAGE` each."""
        events = self._site.kubectl.items("events", namespace=SHOP)
        said = [f"{each['reason']}: {each.get('message', '')}" for each in events]
        return [each for each in said if f'"{image}"' in each and each.partition(":")[0] in {"Pulling", "Pulled"}]

    def holders(self, image: str) -> set[str]:
        """The nodes whose runtime has the image."""
        numbers = range(1, self._site.cluster.nodes + 1)
        return {f"node-{number}" for number in numbers if image in self._site.images(number)}

    def assert_started_without_a_pull(self, image: str) -> None:
        """Every pod found its image on its node."""
        said = self.pulled(image)
        assert said, "no kubelet has said anything"
        assert [] == [each for each in said if "already present on machine" not in each], said
        assert self.nodes(image) <= self.holders(image)


def clean(site: WarmCluster, *installations: str) -> None:
    """Remove everything of installations, and what they have written onto nodes."""
    for name in installations:
        ours = f"--selector app.kubernetes.io/part-of=nodeprefetch,app.kubernetes.io/instance={name}"
        site.type(
            f"kubectl delete daemonset,serviceaccount,role,rolebinding --namespace prefetch {ours}\n"
            f"kubectl delete configmap {name} --namespace prefetch --ignore-not-found\n"
            f"kubectl delete role,rolebinding --namespace default {ours}\n"
            f"kubectl delete clusterrole,clusterrolebinding {ours}\n"
            f"kubectl label nodes --all nodeprefetch.io/{name}-\n"
            f"kubectl annotate nodes --all nodeprefetch.io/{name}.summary-\n"
        )


def objects(text: str) -> list[dict[str, Any]]:
    """What a command has printed as JSON lines or YAML documents."""
    return [each for each in yaml.safe_load_all(text) if each]


def to_json(*found: dict[str, Any]) -> str:
    """A list to apply."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(found)})
