"""`status` of a thousand nodes at a real API server, with a real aggregator and without it."""

import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeprefetch.values.image_list import list_digest
from nodeprefetch.values.image_ref import ImageRef
from tests.e2e.crowd import Crowd
from tests.support.aggregator_program import AggregatorProgram
from tests.support.apiserver import ApiServer
from tests.support.node_load import INSTANCE, Load, image_names, send

pytestmark = pytest.mark.apiserver

LOG = logging.getLogger(__name__)
"""For times, of which no test is sure: `--log-cli-level=info` shows them."""

NODES, IMAGES = 1000, 40


@pytest.fixture(scope="module")
def crowd(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    names = image_names(IMAGES)
    list_file = tmp_path_factory.mktemp("crowd") / "images.txt"
    list_file.write_text("".join(f"{name}\n" for name in names))
    made = Crowd(
        api_server,
        name=INSTANCE,
        namespace="crowd",
        list_file=list_file,
        list_digest=list_digest(map(ImageRef.parse, names)),
        nodes=NODES,
    )
    made.join()
    yield made
    made.leave()


@pytest.fixture(scope="module")
def login(crowd: Crowd) -> Path:
    """Of who has the reader's rights."""
    return crowd.server.kubeconfig_with(crowd.server.token(crowd.namespace, f"{crowd.name}-reader"))


def status(login: Path, *flags: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "nodeprefetch", "status", INSTANCE, "--namespace=crowd", f"--kubeconfig={login}"]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--output=json", *flags], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    LOG.info("status%s took %.2f s, %.2f s of a core", " ".join(("", *flags)), time.monotonic() - began, cpu)
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any]
    (found,) = json.loads(done.stdout)
    return found


def states(found: dict[str, Any]) -> set[tuple[str, str]]:
    """With what keeps nodes from being warm."""
    return {(node["state"], node.get("why", "")) for node in found["nodes"]}


def test_labels_of_all_nodes_are_read(crowd: Crowd, login: Path) -> None:
    """More than an answer of the API server holds."""
    found = status(login)

    assert sorted(crowd.nodes) == sorted(node["node"] for node in found["nodes"])
    assert {("warm", "")} == states(found)


def test_the_aggregator_knows_all_of_them(crowd: Crowd, login: Path, tmp_path: Path) -> None:
    with AggregatorProgram(tmp_path) as aggregator:
        send(Load(nodes=NODES, images=IMAGES, connections=10, port=aggregator.http_port))

        found = status(login, f"--aggregator=http://127.0.0.1:{aggregator.http_port}")

    assert sorted(crowd.nodes) == sorted(node["node"] for node in found["nodes"])
    assert {("warm", "")} == states(found)
    assert found["source"].startswith("aggregator")
