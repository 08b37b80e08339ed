"""Warm first, then roll out: what docs/rollout.md promises, with its own commands and files, on a cluster."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.asking import ask
from tests.e2e.conftest import need
from tests.e2e.rollouts import (
    APP,
    ARGO,
    HELM,
    ON_WARM_NODES,
    PIPELINE,
    REPOSITORY,
    SHOP,
    WITHOUT_DAEMON_SETS,
    Workload,
    clean,
    deployment,
    files,
    objects,
    part,
    scripts,
    to_json,
    write,
)
from tests.e2e.warmcluster import WarmCluster
from tests.support.cluster_programs import programs_directory
from tests.support.pause_image import make_pause_image

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]

LOG = logging.getLogger(__name__)
"""For times, of which no test is sure: `--log-cli-level=info` shows them."""

WAVE, HOOK = "argocd.argoproj.io/sync-wave", "argocd.argoproj.io/hook"


@pytest.fixture
def shop(site: WarmCluster) -> Iterator[Workload]:
    """A namespace for the workload, and room for its installations."""
    site.type(f"kubectl create namespace {SHOP}")
    try:
        yield Workload(site)
    finally:
        site.type(f"kubectl delete namespace {SHOP}")
        clean(site, "web", "web-kept")


def push(site: WarmCluster, tag: str) -> str:
    """A version of the workload; its image, of which the kubelet knows nothing by another name."""
    site.push_image(make_pause_image(100_000, seed=tag), f"web:{tag}")
    return f"{REPOSITORY}:{tag}"


def test_only_nodes_that_run_the_workload_pull_and_its_next_version_starts_without_a_pull(
    site: WarmCluster, shop: Workload
) -> None:
    old, new = push(site, "pipeline-1"), push(site, "pipeline-2")
    site.kubectl.apply(to_json(deployment(old)))
    shop.wait()
    before = shop.nodes(old)
    write(site.directory, "deployment.yaml", deployment(new, **ON_WARM_NODES))

    began = time.monotonic()
    said = site.type(scripts(part(PIPELINE))[0])
    LOG.info("all commands of the pipeline took %.1f s: %s", time.monotonic() - began, said)
    warm = shop.holders(new)
    shop.wait()

    assert (2, before, before) == (len(before), warm, shop.nodes(new)), said
    assert "2 of 2 nodes warm" in said
    labels = {node["metadata"]["name"]: node["metadata"]["labels"] for node in site.kubectl.items("nodes")}
    others = labels.keys() - before
    skipped = "1 node" if len(others) == 1 else f"{len(others)} nodes"
    assert f"{skipped} skipped: no pod that matches app=web in namespace {SHOP} runs there" in said
    shop.assert_started_without_a_pull(new)
    other = min(others)
    why = site.type(f"nodeprefetch why {other} --namespace prefetch --name web")
    assert f"{other} is skipped for web in namespace prefetch: no pod that matches app=web" in why
    assert [] == [node for node in others if f"nodeprefetch.io/{APP}" in labels[node]]


def test_a_sync_of_argo_cd_applies_the_workload_after_its_images(site: WarmCluster, shop: Workload) -> None:
    """Its order by the documented annotations: waves, and in them kinds. The list is that of the Deployment."""
    old, new = push(site, "argo-1"), push(site, "argo-2")
    site.kubectl.apply(to_json(deployment(old)))
    shop.wait()
    for name, text in files(part(ARGO)).items():
        write(site.directory, name, text)
    write(site.directory, "app/deployment.yaml", deployment(new, **ON_WARM_NODES))
    site.type(scripts(part(ARGO))[0])

    made = objects(site.type("kubectl kustomize app"))
    hooks = [each for each in made if each["metadata"].get("annotations", {}).get(HOOK) == "PreSync"]
    hooks.sort(key=lambda each: int(each["metadata"]["annotations"][WAVE]))
    assert ["ConfigMap", "DaemonSet", "Job"] == [each["kind"] for each in hooks]
    assert new == hooks[0]["data"]["images.txt"].strip()
    began = time.monotonic()
    for hook in hooks:
        site.kubectl.apply(to_json(hook))
        if hook["kind"] == "DaemonSet":
            site.type("kubectl rollout status daemonset/web --namespace prefetch --timeout 5m")
    site.type("kubectl wait --for=condition=Complete job/web-warm --namespace prefetch --timeout 5m")
    LOG.info("the hooks took %.1f s", time.monotonic() - began)
    log = site.type("kubectl logs job/web-warm --namespace prefetch")
    site.kubectl.apply(to_json(*(each for each in made if each not in hooks)))
    shop.wait()

    assert "2 of 2 nodes warm" in log
    shop.assert_started_without_a_pull(new)
    site.type("kubectl delete job web-warm --namespace prefetch")


IN_CHART = "{{ include `web.image` . }}"
"""The workload's image."""


@pytest.fixture
def helm(site: WarmCluster) -> Iterator[Path]:
    """The chart of the workload, without its hook; and Helm on the PATH."""
    program = programs_directory() / "helm"
    need(None if program.exists() else "helm is not built: dev/cluster build helm")
    link = site.programs / "helm"
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    chart = site.directory / "chart"
    write(chart, "Chart.yaml", {"apiVersion": "v2", "name": APP, "version": "1.0.0"})
    write(chart, "values.yaml", {"image": {"repository": REPOSITORY, "tag": "none"}})
    write(chart, "templates/deployment.yaml", json.dumps(deployment(IN_CHART)))
    yield chart
    site.type(f"rm -r chart; helm uninstall {APP} --namespace {SHOP} --ignore-not-found")


def in_updates_on_warm_nodes() -> str:
    """The workload's template, with the documented selector, which a first installation cannot have."""
    warm = json.dumps(ON_WARM_NODES["nodeSelector"])
    choice = f"{{{{ if .Release.IsUpgrade }}}}{warm}{{{{ else }}}}{{}}{{{{ end }}}}"
    return json.dumps(deployment(IN_CHART, nodeSelector="CHOICE")).replace('"CHOICE"', choice)


def upgrade(tag: str) -> str:
    """The documented command, for a version."""
    return f"{scripts(part(HELM))[-1].strip()} --set image.tag={tag}"


def test_helm_upgrades_after_its_hook_and_not_at_all_if_that_fails(
    site: WarmCluster, shop: Workload, helm: Path
) -> None:
    for name, text in files(part(HELM)).items():
        write(helm.parent, name, text)
    write(helm, "templates/deployment.yaml", in_updates_on_warm_nodes())
    old, new = push(site, "helm-1"), push(site, "helm-2")
    site.type(scripts(part(HELM))[0])

    first = ask(site, upgrade("helm-1"))
    shop.wait()
    began = time.monotonic()
    second = ask(site, upgrade("helm-2"))
    LOG.info("the upgrade took %.1f s", time.monotonic() - began)
    shop.wait()
    third = ask(site, upgrade("nowhere"))

    assert (0, 0, 1) == (first.code, second.code, third.code), f"{first}\n{second}\n{third}"
    assert any(each.startswith("Pulling: ") for each in shop.pulled(old))  # nothing was warm before the first one
    shop.assert_started_without_a_pull(new)
    assert 2 == len(shop.nodes(new))
    assert f"{REPOSITORY}:nowhere" in third.text
    assert "not found" in third.text
    assert set() == shop.nodes(f"{REPOSITORY}:nowhere")
    assert new in site.type(f"kubectl get deployment {APP} --namespace {SHOP} --output yaml")
    assert "web cannot become warm" in site.type("kubectl logs job/web-warm --namespace prefetch")
    left = site.type("kubectl get daemonset,configmap --namespace prefetch --output name").split()
    assert not {"daemonset.apps/web", "configmap/web"} & set(left)
    site.type("kubectl delete job web-warm --namespace prefetch")


def test_a_release_and_a_pipeline_warm_a_permanent_installation_by_its_list_alone(
    site: WarmCluster, shop: Workload, helm: Path
) -> None:
    hook = part(HELM, WITHOUT_DAEMON_SETS)
    for name, text in {**files(part(HELM)), **files(hook)}.items():
        write(helm.parent, name, text)
    image, new = push(site, "kept-1"), push(site, "kept-2")
    site.type(scripts(hook)[0])

    first = ask(site, upgrade("kept-1"))
    shop.wait()
    write(site.directory, "deployment.yaml", deployment(new))
    began = time.monotonic()
    site.type(scripts(part(PIPELINE))[1])
    LOG.info("the second rollout took %.1f s", time.monotonic() - began)
    shop.wait()

    assert 0 == first.code, first.text
    for each in (image, new):
        shop.assert_started_without_a_pull(each)
        assert set(site.nodes) == shop.holders(each)
    site.type("kubectl delete clusterrolebinding shop-warm; kubectl delete rolebinding shop-warm --namespace prefetch")
