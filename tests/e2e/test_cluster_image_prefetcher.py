"""An installation of image-prefetcher runs our image, after what its migration guide says and nothing else."""

import json

import pytest

from tests.e2e.installation import ROOT
from tests.e2e.readme import commands, section
from tests.e2e.warmcluster import WarmCluster
from tests.support.kubectl import KubectlError

pytestmark = pytest.mark.cluster

MANIFEST = ROOT / "tests/data/image-prefetcher.yaml"
GUIDE = ROOT / "docs/migrating/image-prefetcher.md"
NAME, NAMESPACE = "former", "moving"
IMAGE = "registry.example.com/team/former:1"


def typed(site: WarmCluster) -> tuple[str, str]:
    """The guide's commands for this installation: those that exchange the image, and the one that adds the line."""
    site.type(f"cp {MANIFEST} old.yaml")
    text = commands(section("Keep the manifests, change the image", GUIDE.read_text(encoding="utf-8")))
    text = text.replace("my-images", NAME).replace("--namespace prefetch", f"--namespace {NAMESPACE}")
    exchange, patch, rest = text.partition("kubectl patch ")
    assert rest
    return exchange, patch + rest


def log(site: WarmCluster) -> str:
    try:
        return site.kubectl.run("logs", f"--selector=app={NAME}", f"--namespace={NAMESPACE}", "--container=prefetch")
    except KubectlError:  # no container has started yet
        return ""


def labels(site: WarmCluster) -> list[str]:
    return [node["metadata"]["labels"].get(f"nodeprefetch.io/{NAME}", "") for node in site.kubectl.items("nodes")]


def results(site: WarmCluster) -> list[tuple[str, str]]:
    """What `/metrics` of the aggregator has, without failed attempts."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}-metrics:http/proxy/metrics"
    found = json.loads(site.kubectl.run("get", "--raw", path))
    return sorted((attempt["node"], attempt["image"]) for attempt in found if "error" not in attempt)


def test_its_manifests_run_our_image_after_the_line_that_the_error_names(site: WarmCluster) -> None:
    """Rollout, label, `aggregate-metrics` and `/metrics`. A limit of nodes holds back none that knows no tickets."""
    site.push("team/former:1")
    exchange, patch = typed(site)
    with site.room_for(NAME, NAMESPACE, IMAGE):
        try:
            site.type(exchange)
            site.wait_until(lambda: "run as root (in a pod: securityContext.runAsUser: 0)" in log(site), "the error")
            site.type(f"kubectl set env deployment/{NAME}-metrics --namespace {NAMESPACE} NODEPREFETCH_PULLING_NODES=0")

            site.type(patch)

            for kind in ("deployment/former-metrics", "daemonset/former"):
                site.type(f"kubectl rollout status {kind} --namespace {NAMESPACE} --timeout=5m")
            assert {"succeeded"} == set(labels(site))
            assert site.holds(IMAGE)
            assert [(node, IMAGE) for node in sorted(site.nodes)] == results(site)
        finally:
            site.type("kubectl delete -f old.yaml")


def test_the_script_of_a_pipeline_runs_as_the_guide_rewrites_it(site: WarmCluster) -> None:
    """It waits, and saves what the aggregator and `status` say. The guide's is for OpenShift."""
    name, namespace, image = "e2e", "piping", "registry.example.com/team/piped:1"
    site.push("team/piped:1")
    script = commands(section("CI scripts", GUIDE.read_text(encoding="utf-8")))
    script = script.replace("--k8s-flavor ocp ", "").replace(" prefetch ", f" {namespace} ")
    script = script.replace("namespaces/prefetch/", f"namespaces/{namespace}/")
    with site.room_for(name, namespace, image):
        try:
            site.type(f"mkdir -p pipeline && cd pipeline && echo {image} > images.txt && ARTIFACTS=.\n{script}")

            attempts = json.loads(site.type("cat pipeline/metrics.json"))
            assert {image} == {attempt["image"] for attempt in attempts}
            assert set(site.nodes) == {attempt["node"] for attempt in attempts if "error" not in attempt}
            shown = site.type("cat pipeline/prefetch.txt")
            assert [] == [node for node in site.nodes if node not in shown]
        finally:
            site.type("kubectl delete -f pipeline/manifest.yaml")
