"""The examples of docs/migrating/, typed at real API servers: from the objects of other tools to ours."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.guidesite import GuideSite, in_namespace
from tests.e2e.installation import ROOT, namespace_object
from tests.e2e.readme import commands, section
from tests.support.apiserver import ApiServer
from tests.support.kubectl import Kubectl
from tests.unit.docs_pages import blocks

pytestmark = pytest.mark.apiserver

GUIDES = ROOT / "docs" / "migrating"
JUPYTERHUB = ROOT / "tests" / "data" / "jupyterhub.yaml"

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
_LABELS = {"type": "object", "additionalProperties": _TEXT}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_JOB = {
    "selector": _object(names=_TEXTS, matchLabels=_LABELS),
    "podSelector": _object(matchLabels=_LABELS),
    "parallelism": {"x-kubernetes-int-or-string": True},
    "pullSecrets": _TEXTS,
    "pullPolicy": _object(timeoutSeconds=_NUMBER, backoffLimit=_NUMBER),
    "imagePullPolicy": {"type": "string", "enum": ["Always", "IfNotPresent"]},
    "completionPolicy": _object(type=_TEXT, activeDeadlineSeconds=_NUMBER, ttlSecondsAfterFinished=_NUMBER),
}
_CACHE = _object(images=_TEXTS, nodeSelector=_LABELS)
KINDS = {
    ("apps.kruise.io", "v1beta1", "ImagePullJob"): _object(image=_TEXT, **_JOB),
    ("apps.kruise.io", "v1beta1", "ImageListPullJob"): _object(images=_TEXTS, **_JOB),
    ("kubefledged.io", "v1alpha2", "ImageCache"): _object(
        cacheSpec={"type": "array", "items": _CACHE}, imagePullSecrets={"type": "array", "items": _object(name=_TEXT)}
    ),
}
"""So much of other tools that their objects are taken, if they have no other fields."""

_numbers = count(1)


def definition(group: str, version: str, kind: str) -> dict[str, Any]:
    name = kind.lower()
    schema = {"type": "object", "properties": {"spec": KINDS[group, version, kind]}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": f"{name}s", "singular": name, "kind": kind},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


class Typed(NamedTuple):
    """What came of an example."""

    kubectl: Kubectl
    namespace: str
    """Of our installations."""

    def images(self, name: str) -> list[str]:
        """The list of an installation."""
        text = self.kubectl.get("configmap", name, self.namespace)["data"]["images.txt"]
        return [line.split()[0] for line in text.splitlines()]

    def node_selector(self, name: str) -> dict[str, str]:
        """Of its pods, without what each has."""
        selector: dict[str, str] = self.kubectl.get("daemonset", name, self.namespace)["spec"]["template"]["spec"][
            "nodeSelector"
        ]
        return {key: value for key, value in selector.items() if key != "kubernetes.io/os"}


class Site(GuideSite):
    """Knows the kinds of other tools. The chart of JupyterHub is not in reach: what it renders is."""

    def __init__(self, server: ApiServer, directory: Path) -> None:
        super().__init__(server, directory)
        self.program("helm", f'case "$1" in template) exec cat {JUPYTERHUB};; upgrade) exit 0;; esac; exit 1')

    def follow(self, page: str, before: str = "before.yaml", *, namespace_before: str) -> Typed:
        """Make what the example starts with, and type its commands."""
        guide = GUIDES / page
        ours = f"migrated-{next(_numbers)}"
        text = blocks(guide, "yaml")[0]
        self.write(before, text)
        self.kubectl.apply(json.dumps(namespace_object(namespace_before)))
        self.type(
            f"kubectl create secret docker-registry registry-login --namespace {namespace_before}"
            f" --docker-server=registry.example.com --docker-username=u --docker-password=p"
            f" --dry-run=client --output=yaml | kubectl apply -f -"
        )
        if "apiVersion" in text:
            self.kubectl.apply(text, "--validate=strict")

        self.type(in_namespace(ours, commands(section("Example", guide.read_text("utf-8")))))

        return Typed(self.kubectl, ours)


@pytest.fixture
def site(api_server: ApiServer, tmp_path: Path) -> Iterator[Site]:
    for kind in KINDS:
        api_server.kubectl.apply(json.dumps(definition(*kind)))
    api_server.kubectl.run("wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=5m")
    yield Site(api_server, tmp_path)
    ours = "app.kubernetes.io/part-of=nodeprefetch"
    api_server.kubectl.run("delete", "clusterroles,clusterrolebindings", f"--selector={ours}")


def test_an_image_list_pull_job_becomes_an_installation(site: Site) -> None:
    typed = site.follow("openkruise.md", namespace_before="team")

    assert ["docker.io/library/nginx:1.27", "registry.example.com/team/db:16"] == typed.images("base")
    assert {"example.com/pool": "ci"} == typed.node_selector("base")
    assert "10" == typed.kubectl.get("configmap", "base-metrics", typed.namespace)["data"]["pulling-nodes"]
    assert [] == typed.kubectl.items("imagelistpulljobs", namespace="team")


def test_the_lists_of_an_image_cache_become_installations(site: Site) -> None:
    typed = site.follow("kube-fledged.md", namespace_before="kube-fledged")

    assert (["nginx:1.27"], {}) == (typed.images("everywhere"), typed.node_selector("everywhere"))
    assert ["registry.example.com/team/backend:2.1", "redis:7"] == typed.images("backend")
    assert {"tier": "backend"} == typed.node_selector("backend")
    assert [] == typed.kubectl.items("imagecaches", namespace="kube-fledged")


def test_the_puller_of_jupyterhub_becomes_an_installation(site: Site) -> None:
    """From the DaemonSet that runs, and from the rendered chart."""
    site.kubectl.apply(json.dumps(namespace_object("jhub")))
    site.kubectl.apply(JUPYTERHUB.read_text("utf-8"))

    typed = site.follow("jupyterhub.md", "config.yaml", namespace_before="jhub")

    assert [
        "quay.io/jupyter/all-spark-notebook:2026-11-02",
        "quay.io/jupyter/datascience-notebook:2026-11-02",
        "quay.io/jupyter/minimal-notebook:2026-11-02",
        "quay.io/jupyterhub/k8s-network-tools:4.4.0",
    ] == typed.images("jupyter")
    assert {"hub.jupyter.org/node-purpose": "user"} == typed.node_selector("jupyter")


def test_a_daemonset_with_init_containers_becomes_an_installation(site: Site) -> None:
    typed = site.follow("daemonsets.md", "prepull.yaml", namespace_before="team")

    assert ["registry.example.com/team/app:1.2", "registry.example.com/team/db:16"] == typed.images("prepull")
    assert {"example.com/pool": "ci"} == typed.node_selector("prepull")
    assert [] == typed.kubectl.items("daemonsets", namespace="team")
