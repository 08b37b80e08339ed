"""What users do after the six steps, on a real cluster: another list, a wrong list, another node."""

import pytest

from tests.e2e.warmcluster import IMAGES, INSTANCE, NAMESPACE, WarmCluster
from tests.support.kubectl import KubectlError

pytestmark = pytest.mark.cluster


def test_an_edited_list_takes_effect(site: WarmCluster) -> None:
    """What was there is not pulled again."""
    image = "registry.example.com/team/tool:3"
    site.push("team/tool:3")

    site.change_list(*IMAGES, image)

    assert {"succeeded"} == site.labels
    assert site.holds(*IMAGES, image)
    assert all("succeeded=1 present=2 failed=0" in site.log(pod["metadata"]["name"]) for pod in site.pods())


def test_an_image_that_is_nowhere_fails_rollout_and_label_until_it_is_mended(site: WarmCluster) -> None:
    """`rollout status` waits as long as it may; the label, the log and the aggregator say what it is."""
    missing = "registry.example.com/team/none:1"

    with pytest.raises(AssertionError, match="timed out waiting for the condition"):
        site.change_list(*IMAGES, missing, limit="5s")
    site.wait_until(lambda: {"failed"} == site.labels, "the label failed on all nodes")
    site.wait_until(lambda: ["failed"] * len(site.nodes) == site.states(missing), "the aggregator's failed")
    site.change_list(*IMAGES)

    assert {"succeeded"} == site.labels


def test_a_node_that_joins_later_is_warmed(site: WarmCluster) -> None:
    site.change_list(*IMAGES)

    node = site.cluster.add_node()

    site.wait_until(lambda: {"succeeded"} == site.labels, f"the label of {node}")
    site.kubectl.run("rollout", "status", f"daemonset/{INSTANCE}", f"--namespace={NAMESPACE}", "--timeout=5m")
    assert 4 == len(site.nodes)
    assert set(IMAGES) <= site.images(4)


def test_a_namespace_that_is_not_privileged_gets_no_pods(site: WarmCluster) -> None:
    """The DaemonSet has the event that the documentation shows, and no rollout comes to its end."""
    site.type(
        "kubectl create namespace strict\n"
        "kubectl label namespace strict pod-security.kubernetes.io/enforce=restricted\n"
        "nodeprefetch-deploy warm --namespace strict | kubectl apply -f -\n"
    )

    with pytest.raises(KubectlError, match="timed out waiting for the condition"):
        site.kubectl.run("rollout", "status", "daemonset/warm", "--namespace=strict", "--timeout=3s")

    events = site.kubectl.items("events", namespace="strict")
    site.kubectl.run("delete", "namespace", "strict", "--wait=false")
    failed = [event["message"] for event in events if event["reason"] == "FailedCreate"]
    assert failed
    assert all('violates PodSecurity "restricted:latest"' in message for message in failed)


def test_a_system_priority_class_is_allowed_where_the_cluster_limits_it(site: WarmCluster) -> None:
    """As on GKE: the API server creates such pods only where a quota allows them, and the manifest has one."""
    critical = '--overrides={"spec": {"priorityClassName": "system-node-critical"}}'
    with pytest.raises(KubectlError, match="insufficient quota to match these scopes"):
        site.kubectl.run("run", "other", "--image=other", critical, "--dry-run=server")

    with site.room_for("warm", "critical", IMAGES[0]):
        try:
            site.type(
                "kubectl label namespace critical pod-security.kubernetes.io/enforce=privileged\n"
                "nodeprefetch-deploy warm --namespace critical --secret registry-login"
                " --priority-class system-node-critical > critical.yaml\n"
                "kubectl apply -f critical.yaml\n"
                "kubectl rollout status daemonset/warm --namespace critical --timeout=5m\n"
            )
            pods = site.kubectl.items("pods", namespace="critical")
        finally:
            site.type("kubectl delete -f critical.yaml")
    assert ["system-node-critical"] * len(site.nodes) == [pod["spec"]["priorityClassName"] for pod in pods]
