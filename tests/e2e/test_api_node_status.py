"""The node's condition and its events at real API servers, and how `kubectl` shows them."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeprefetch.kube import Condition, ConflictError, NodeEvent, connect
from tests.e2e.conftest import HANGING, MISSING
from tests.e2e.installation import Installation, install
from tests.integration.program import Ended, Program
from tests.support.apiserver import ApiServer
from tests.support.kubectl import KubectlError

pytestmark = pytest.mark.apiserver

TYPE = "nodeprefetch.io/web"
READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastTransitionTime": None}


@pytest.fixture(scope="module")
def shared(api_server: ApiServer) -> Iterator[Installation]:
    """With no more than the restricted rights."""
    made = install(api_server, "web", "status", "--node-condition", "--restrict-node-access")
    yield made
    made.remove()


@pytest.fixture
def fresh(shared: Installation) -> Iterator[Installation]:
    """The same, with a kubelet's condition alone, and without events."""
    change = {"status": {"conditions": [READY]}}
    shared.server.kubectl.run(
        "patch", "node", shared.node, "--subresource=status", "--type=merge", f"--patch={json.dumps(change)}"
    )
    yield shared
    shared.server.kubectl.run("delete", "events", "--all", "--namespace=default")


def test_kubectl_waits_for_the_condition(
    fresh: Installation, start: Callable[..., Program], fetch: Callable[..., Ended], image: str
) -> None:
    run = start(fresh, HANGING, node_condition=True)
    run.wait_for("node condition set")
    pulling = _condition(fresh)
    run.send(signal.SIGTERM)
    run.end()
    stopped = _condition(fresh)
    with pytest.raises(KubectlError, match="timed out waiting for the condition"):
        _wait(fresh, "1s")

    ended = fetch(fresh, image, node_condition=True)

    assert "condition met" in _wait(fresh, "5m")
    present = _condition(fresh)
    assert (("False", "Pulling"), ("False", "PullFailed"), ("True", "ImagesPresent")) == tuple(
        (each["status"], each["reason"]) for each in (pulling, stopped, present)
    )
    assert pulling["lastTransitionTime"] == stopped["lastTransitionTime"]
    assert "1 image present" == present["message"]
    assert READY["reason"] == _condition(fresh, "Ready")["reason"]
    assert (0, []) == (ended.code, [line for line in ended.log if line["level"] == "WARN"])


def test_a_condition_that_is_there_is_not_written_again(
    fresh: Installation, fetch: Callable[..., Ended], image: str
) -> None:
    fetch(fresh, image, node_condition=True)
    before = _condition(fresh)

    again = fetch(fresh, image, node_condition=True)

    assert before == _condition(fresh)
    assert (0, []) == (again.code, again.lines("node condition set"))


def test_kubectl_describes_the_node_with_its_events(
    fresh: Installation, fetch: Callable[..., Ended], image: str
) -> None:
    """Twice the same failure is one event; a run that has nothing to do adds none."""
    for _ in range(2):
        fetch(fresh, image, MISSING)
    for _ in range(2):
        fetch(fresh, image)

    described = fresh.server.kubectl.run("describe", "node", fresh.node).partition("\nEvents:")[2]

    (line,) = [each for each in described.splitlines() if "nodeprefetch" in each]
    assert ["Warning", "ImagePrefetchFailed"] == line.split()[:2]
    assert f"web: 1 of 2 images missing: {MISSING} (permanent, not_found): " in line


def test_a_run_that_pulled_says_so(fresh: Installation, fetch: Callable[..., Ended], image: str) -> None:
    ended = fetch(fresh, image)

    described = fresh.server.kubectl.run("describe", "node", fresh.node).partition("\nEvents:")[2]
    (line,) = [each for each in described.splitlines() if "nodeprefetch" in each]
    assert ["Normal", "ImagesPrefetched"] == line.split()[:2]
    assert "web: pulled 1 image (" in line
    assert [] == [line for line in ended.log if "event" in line["msg"]]


def test_without_the_right_to_create_events_one_line_says_so(
    installed: Callable[..., Installation], fetch: Callable[..., Ended], image: str
) -> None:
    """And that is no warning."""
    installation = installed()
    names = [each["metadata"]["name"] for each in installation.objects if each["kind"] == "RoleBinding"]
    installation.server.kubectl.run("delete", "rolebinding", "--namespace=default", *names)

    ended = fetch(installation, image)

    (line,) = [line for line in ended.log if "event" in line["msg"]]
    assert (0, "INFO") == (ended.code, line["level"])
    assert "missing permission to create events; check: kubectl auth can-i create events" in line["msg"]


async def test_conditions_and_events_of_one_name_conflict(fresh: Installation, tmp_path: Path) -> None:
    fresh.server.write_service_account(tmp_path, fresh.token())
    kube = await connect(environment=fresh.server.environment, mount=tmp_path)
    event = NodeEvent(
        name=f"{fresh.node}.1",
        node=fresh.node,
        type="Normal",
        reason="Test",
        message="é" * 1024,
        time="2026-01-31T12:00:00Z",
        reporter="web",
    )
    node = await kube.get_node(fresh.node)
    changed = await kube.patch_node(fresh.node, labels={TYPE: "failed"})
    condition = Condition(
        type=TYPE,
        status="True",
        last_heartbeat_time="2026-01-31T12:00:00Z",
        last_transition_time="2026-01-31T12:00:00Z",
    )

    with pytest.raises(ConflictError):
        await kube.patch_node_condition(fresh.node, condition, resource_version=node.resource_version)
    written = await kube.patch_node_condition(fresh.node, condition, resource_version=changed.resource_version)
    await kube.create_node_event(event)
    with pytest.raises(ConflictError):
        await kube.create_node_event(event)

    assert condition == written.condition(TYPE)
    assert written.condition("Ready") is not None


def _wait(installation: Installation, timeout: str) -> str:
    return installation.server.kubectl.run(
        "wait", f"--for=condition={TYPE}", f"node/{installation.node}", f"--timeout={timeout}"
    )


def _condition(installation: Installation, kind: str = TYPE) -> dict[str, Any]:
    conditions = installation.server.kubectl.get("node", installation.node)["status"]["conditions"]
    (found,) = [each for each in conditions if each["type"] == kind]
    return found
