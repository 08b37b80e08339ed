"""The README's six steps on a real cluster, by the README's own text."""

import json

import pytest
import yaml

from tests.e2e.warmcluster import IMAGES, LABEL, WarmCluster

pytestmark = pytest.mark.cluster

NOT_UP_YET = "is unavailable, retrying"
"""Of the aggregator, which starts at the same moment."""

POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: user, namespace: default}}
spec:
  nodeSelector: {{{LABEL}: succeeded}}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: app, image: "{IMAGES[0]}", imagePullPolicy: IfNotPresent}}
"""
"""Of somebody who knows no login for the registry."""


def test_every_node_has_every_image_and_says_so(site: WarmCluster) -> None:
    """`wait` came to its end, each run ended without a word of warning, and the label is there for all to see."""
    steps = site.transcript
    logs = "".join(site.first_logs).splitlines()

    assert [1, 2, 3, 4, 5, 6] == sorted(steps)
    assert 3 == sum("succeeded=2 present=0 failed=0" in line for line in logs)
    assert [] == [line for line in logs if "level=ERROR" in line]
    assert [] == [line for line in logs if "level=WARN" in line and NOT_UP_YET not in line]
    assert 3 == steps[6].count("succeeded\n")
    assert site.holds(*IMAGES)


def test_the_aggregator_shows_every_attempt_of_every_node(site: WarmCluster) -> None:
    found = {(attempt["node"], attempt["image"]) for attempt in site.first_attempts if "error" not in attempt}
    assert {(f"node-{number}", image) for number in (1, 2, 3) for image in IMAGES} <= found


def test_the_commands_of_the_readme_are_complete(site: WarmCluster) -> None:
    """Nothing that `kubectl apply` printed was a warning."""
    assert "Warning" not in "".join(site.transcript.values())


def test_a_pod_that_asks_for_the_label_starts_without_a_login(site: WarmCluster) -> None:
    """Nobody pulls for it: its image is there. The registry would not give it the image."""
    site.kubectl.run("create", "--filename=-", stdin=json.dumps(yaml.safe_load(POD)))

    site.kubectl.run("wait", "--for=condition=Ready", "pod/user", "--timeout=5m")

    events = site.kubectl.items("events", namespace="default")
    reasons = {event["message"] for event in events if event["involvedObject"]["name"] == "user"}
    site.kubectl.run("delete", "pod", "user", "--wait=false")
    assert any("already present on machine" in reason for reason in reasons)
