"""Pods without a right on nodes that act as their own, and the kubelets beside them, on a real cluster."""

import pytest

from tests.e2e.warmcluster import WarmCluster
from tests.support.kubectl import KubectlError

pytestmark = pytest.mark.cluster

IMAGE, WITNESS = "registry.example.com/team/acting:1", "registry.example.com/team/witness:1"


def test_pods_report_as_their_nodes_and_kubelets_go_on_under_the_policy(site: WarmCluster) -> None:
    """It is about all that acts as a node; kubelets log in with certificates."""
    site.push("team/acting:1")
    with site.room_for("acting", "acting", IMAGE):
        try:
            site.type(
                "kubectl label namespace acting pod-security.kubernetes.io/enforce=privileged\n"
                "nodeprefetch-deploy acting --namespace acting --secret registry-login --node-condition"
                " --node-access impersonate --restrict-node-access > acting.yaml\n"
                "kubectl apply -f acting.yaml\n"
                "kubectl wait --for=condition=nodeprefetch.io/acting node --all --timeout=5m\n"
                "kubectl rollout status daemonset/acting --namespace acting --timeout=5m\n"
            )
            labels = {node["metadata"]["labels"].get("nodeprefetch.io/acting") for node in site.kubectl.items("nodes")}
            site.wait_until(lambda: _refuses_acting_nodes(site), "the policy")
            site.cluster.run("ctr", "--namespace=k8s.io", "images", "tag", "--local", IMAGE, WITNESS, node=1)
            site.wait_until(lambda: WITNESS in _reported(site, "node-1"), "what the kubelet has seen since")
        finally:
            site.type("kubectl delete -f acting.yaml")
            site.cluster.run("ctr", "--namespace=k8s.io", "images", "rm", WITNESS, node=1)
    assert {"succeeded"} == labels


def _refuses_acting_nodes(site: WarmCluster) -> bool:
    try:
        site.kubectl.run("label", "node", "node-1", "a=b", "--as=system:node:node-1", "--dry-run=server")
    except KubectlError as refusal:
        return "a pod that acts as its node may change the label" in str(refusal)
    return False


def _reported(site: WarmCluster, node: str) -> set[str]:
    images = site.kubectl.get("node", node)["status"].get("images", [])
    return {name for image in images for name in image["names"]}
