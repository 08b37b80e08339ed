"""The overlay of docs/manifests.md on a real cluster: pods, results, label, events and `wait` in its namespace."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.overlays import APPLY, GENERATE, LIST, NAME, NAMESPACE, OVERLAY, WAIT
from tests.e2e.warmcluster import WarmCluster
from tests.support.kubectl import KubectlError

pytestmark = [
    pytest.mark.cluster,
    # What differs between versions of containerd is not touched.
    pytest.mark.parametrize("site", ["2"], indirect=True, ids=["containerd-2"]),
]

IMAGE, ANOTHER = (f"registry.example.com/team/overlay:{tag}" for tag in (1, 2))
IN_THE_NODES_NETWORK = "--host-network --fetch-arg=--metrics-protocol=grpc"
STATUS = f"kubectl nodeprefetch status {NAME} --namespace {NAMESPACE} --output json"
GENERATE_WITH_LOGIN = GENERATE.replace("nodeprefetch-deploy web", "nodeprefetch-deploy web --secret registry-login")


@pytest.fixture
def overlaid(site: WarmCluster) -> Iterator[WarmCluster]:
    """The namespace, the base and the overlay, as the page shows them, in the directory `kustomize`."""
    site.push("team/overlay:1", "team/overlay:2")
    with site.room_for(NAME, NAMESPACE, IMAGE):
        site.type(
            f"kubectl label namespace {NAMESPACE} pod-security.kubernetes.io/enforce=privileged\n"
            f"kubectl delete configmap {NAME} --namespace {NAMESPACE}\n"
            f"mkdir -p kustomize/overlay && cd kustomize && echo {IMAGE} > images.txt\n"
            f"{GENERATE_WITH_LOGIN}\n"
            f"cat > overlay/kustomization.yaml <<'EOF'\n{OVERLAY}EOF\n"
        )
        yield site
        site.type("cd kustomize && kubectl delete --ignore-not-found -k overlay && cd .. && rm -r kustomize")


def test_an_installation_moves_with_its_overlay(overlaid: WarmCluster) -> None:
    overlaid.type(f"cd kustomize\n{APPLY}")

    overlaid.type(WAIT)

    overlaid.type(f"kubectl rollout status deployment/{NAME}-metrics --namespace {NAMESPACE} --timeout=5m")
    (status,) = json.loads(overlaid.type(STATUS))
    nodes = overlaid.kubectl.items("nodes")
    (daemons,) = overlaid.kubectl.items("daemonsets", namespace=NAMESPACE)
    assert {"succeeded"} == {node["metadata"]["labels"].get(f"nodeprefetch.io/{NAME}") for node in nodes}
    assert {node["metadata"]["name"] for node in nodes} == _reporting(overlaid)
    assert "aggregator (through the API server)" == status["source"]
    assert "--max-parallel-pulls=2" in daemons["spec"]["template"]["spec"]["initContainers"][0]["args"]
    overlaid.wait_until(lambda: len(nodes) == len(_events(overlaid)), "an event about every node")
    overlaid.wait_until(lambda: _is_restricted(overlaid), "the policy")


def test_a_list_in_the_overlay_reaches_the_pods_without_the_generator(overlaid: WarmCluster) -> None:
    """A changed list has another name, so pods are replaced. In the node's network they find the aggregator too."""
    without_list = GENERATE_WITH_LOGIN.replace("--images images.txt", IN_THE_NODES_NETWORK)
    overlaid.type(
        f"cd kustomize\n{without_list}\ncat >> overlay/kustomization.yaml <<'EOF'\n{LIST}EOF\n"
        f"mv images.txt overlay\n{APPLY}\n{WAIT}"
    )

    said = overlaid.type(f"cd kustomize\necho {ANOTHER} >> overlay/images.txt\n{APPLY}\n{WAIT}")

    (status,) = json.loads(overlaid.type(STATUS))
    assert "configmap/web" in said
    assert [IMAGE, ANOTHER] == status["list_images"]
    assert len(overlaid.nodes) == len(_reporting(overlaid))
    assert overlaid.holds(IMAGE, ANOTHER)


def _reporting(site: WarmCluster) -> set[str]:
    """Nodes that the aggregator has heard of."""
    proxy = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}-metrics:http/proxy/v1/status"
    (instance,) = json.loads(site.kubectl.run("get", "--raw", proxy))["instances"]
    return {node["node"] for node in instance["nodes"]}


def _events(site: WarmCluster) -> set[str]:
    """Nodes whose images the installation has said to be there."""
    return {
        event["involvedObject"]["name"]
        for event in site.kubectl.items("events", namespace="default")
        if event["involvedObject"]["kind"] == "Node" and event.get("message", "").startswith(f"{NAME}: ")
    }


def _is_restricted(site: WarmCluster) -> bool:
    try:
        site.kubectl.run(
            "label", "node", "node-1", "a=b", "--dry-run=server", f"--as=system:serviceaccount:{NAMESPACE}:{NAME}"
        )
    except KubectlError as refusal:
        return f"nodeprefetch.{NAMESPACE}.{NAME}.node-access" in str(refusal)
    return False
