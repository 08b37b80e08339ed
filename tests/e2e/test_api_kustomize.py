"""The overlay of docs/manifests.md at real API servers: whole, and without what its namespace needs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import EVENTS, MERGE_PATCH, NODES, Installation, install_manifest, namespace_object
from tests.e2e.overlays import NAME, NAMESPACE, OVERLAY, write_base, write_overlay
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.apiserver

POLICY = f"nodeprefetch.{NAMESPACE}.{NAME}."


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("overlays")
    write_base(made)
    return made


@pytest.fixture(scope="module")
def overlaid(api_server: ApiServer, directory: Path) -> Iterator[Installation]:
    manifest = api_server.kubectl.run("kustomize", str(write_overlay(directory)))
    made = install_manifest(api_server, NAME, NAMESPACE, manifest)
    yield made
    made.remove()


def _label(key: str) -> dict[str, Any]:
    return {"metadata": {"labels": {key: "succeeded"}}}


def _event(kind: str, name: str) -> dict[str, Any]:
    return {
        "metadata": {"generateName": "probe-", "namespace": "default"},
        "involvedObject": {"kind": kind, "name": name},
        "reason": "Probe",
    }


@pytest.mark.parametrize("folder", ["base", "overlay"])
def test_kubectl_applies_the_directory(overlaid: Installation, directory: Path, folder: str) -> None:
    """In the namespaces that there are; fields that the server does not know are errors."""
    overlaid.server.kubectl.apply(json.dumps(namespace_object("prefetch")))

    said = overlaid.server.kubectl.run(
        "apply", "--server-side", "--validate=strict", "--dry-run=server", f"--kustomize={directory / folder}"
    )

    assert len(overlaid.objects) == len(said.splitlines())


def test_pods_may_do_in_the_overlays_namespace_what_they_may(overlaid: Installation) -> None:
    label = overlaid.ask("PATCH", f"{NODES}/{overlaid.node}", _label("nodeprefetch.io/web"), MERGE_PATCH)
    event = overlaid.ask("POST", EVENTS, _event("Node", overlaid.node))

    assert ("", "") == (label.message, event.message)


def test_the_restriction_is_about_the_overlays_pods(overlaid: Installation) -> None:
    other_label = overlaid.ask("PATCH", f"{NODES}/{overlaid.node}", _label("example.com/other"), MERGE_PATCH)
    other_node = overlaid.ask("PATCH", f"{NODES}/{overlaid.other_node}", _label("nodeprefetch.io/web"), MERGE_PATCH)
    other_event = overlaid.ask("POST", EVENTS, _event("Pod", "probe"))

    assert f"{POLICY}node-access" in other_label.message
    assert f"{POLICY}node-access" in other_node.message
    assert f"{POLICY}node-events" in other_event.message


def test_without_its_transformers_an_overlay_leaves_pods_without_permissions(
    api_server: ApiServer, directory: Path
) -> None:
    """Never without the restriction alone."""
    forgetful = OVERLAY.replace("transformers:\n- ../base/namespace\n", "").replace(NAMESPACE, "team-b")
    assert "transformers" not in forgetful
    kubectl, folder = api_server.kubectl, str(write_overlay(directory, forgetful, name="forgetful"))
    kubectl.create(namespace_object("team-b"))

    kubectl.run("apply", "--server-side", f"--kustomize={folder}")
    try:
        user = f"system:serviceaccount:team-b:{NAME}"
        allowed = [
            kubectl.may("patch", "nodes", user),
            kubectl.may("create", "events", user, namespace="default"),
            kubectl.may("create", "events", user, namespace="team-b"),
        ]
        bound = kubectl.may("patch", "nodes", f"system:serviceaccount:prefetch:{NAME}")
    finally:
        kubectl.run("delete", f"--kustomize={folder}")

    assert [False, False, False] == allowed
    assert bound
