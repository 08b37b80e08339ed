"""What Helm makes of changes, at real API servers: the newest, and the oldest that is supported."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy_gen.objects import Object
from tests.e2e.conftest import need
from tests.e2e.installation import READINESS_RULES, namespace_object
from tests.e2e.operators import OPERATORS_KINDS, definition
from tests.support.apiserver import ApiServer
from tests.support.chart import CHART, ChartError, helm
from tests.support.cluster_programs import why_no_helm

pytestmark = [pytest.mark.apiserver, pytest.mark.helm]

EVERYTHING: dict[str, Any] = {
    "images": "quay.io/team/app:1\n# ü $(HOME) {{ }}\n",
    "collectMetrics": True,
    "persist": "1Gi",
    "pullingNodes": 3,
    "growth": "doubling",
    "serviceMonitor": True,
    "grafanaDashboard": True,
    "readerRole": True,
    "networkPolicy": True,
    "restrictNodeAccess": True,
    "nodeReadinessRule": True,
    "removeStartupTaints": ["example.com/images:NoSchedule"],
}
MINE = "app.kubernetes.io/instance=chart"


class Release:
    """A release called `chart` in the namespace `chart`."""

    def __init__(self, server: ApiServer) -> None:
        self.kubectl = server.kubectl
        self._login = ("--kubeconfig", server.kubeconfig, "--namespace", "chart")

    def run(self, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
        """Run Helm. Returns what it printed."""
        done = helm(*arguments, *self._login, values=values)
        if done.returncode:
            raise ChartError(done.stderr)
        return done.stdout

    def install(self, values: dict[str, Any]) -> None:
        """Install, or upgrade."""
        self.run("upgrade", "--install", "chart", CHART, values=values)

    def find(self, kind: str, name: str = "chart") -> Object:
        """Read an object."""
        return self.kubectl.get(kind, name, "chart")

    @property
    def objects(self) -> list[Object]:
        """What Helm says that it has installed."""
        return [each for each in yaml.safe_load_all(self.run("get", "manifest", "chart")) if each]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the objects in the namespace, as far as they are counted up by changes."""
        found = self.kubectl.items("all,role,configmap,networkpolicy", namespace="chart", selector=MINE)
        return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in found}


@pytest.fixture
def release(api_server: ApiServer) -> Iterator[Release]:
    need(why_no_helm())
    kubectl = api_server.kubectl
    for kind in OPERATORS_KINDS:
        kubectl.apply(json.dumps(definition(kind)))
    kubectl.apply(READINESS_RULES.read_text("utf-8"))
    kubectl.apply(json.dumps(namespace_object("chart")))
    kubectl.run("wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=5m")
    made = Release(api_server)
    yield made
    made.run("uninstall", "chart", "--ignore-not-found")


def test_everything_is_installed_and_removed(release: Release) -> None:
    """Fields that the server does not know would be errors. (Without the volume: a controller lets it go.)"""
    release.install({**EVERYTHING, "persist": ""})
    manifest = release.run("get", "manifest", "chart")
    there = release.kubectl.run("get", "--filename=-", "--output=name", stdin=manifest).split()
    assert len(release.objects) == len(there)

    release.run("uninstall", "chart")

    kinds = sorted({name.partition("/")[0] for name in there})
    assert "" == release.kubectl.run("get", ",".join(kinds), "--all-namespaces", f"--selector={MINE}", "--output=name")


@pytest.mark.parametrize("keep", [False, True])
def test_another_list_rolls_out_unless_pods_notice_it(release: Release, *, keep: bool) -> None:
    """By the pod template, whose changes are what a DaemonSet rolls out."""
    release.install({"images": ["a:1"], "keep": keep})
    before = release.find("daemonset")["metadata"]["generation"]

    release.install({"images": ["a:2"], "keep": keep})

    assert "a:2\n" == release.find("configmap")["data"]["images.txt"]
    assert keep == (before == release.find("daemonset")["metadata"]["generation"])


def test_the_same_values_change_nothing(release: Release) -> None:
    release.install(EVERYTHING)
    before = release.versions

    release.install(EVERYTHING)

    assert before == release.versions


def test_flags_that_go_take_their_objects_with_them(release: Release) -> None:
    release.install(EVERYTHING)

    release.install({"images": ["a:1"]})

    assert {"DaemonSet/chart", "ConfigMap/chart"} == set(release.versions)
