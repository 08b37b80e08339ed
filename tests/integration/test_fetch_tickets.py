"""`fetch --tickets` as a process, with a real aggregator and a runtime that does as told."""

import signal
import subprocess
from pathlib import Path

import pytest

from nodeprefetch.runtime.api import ImageRecord
from tests.integration.program import command, flags, log_lines, private_environment
from tests.support.aggregator import RunningAggregator, on_any_port, running_aggregator
from tests.support.cri_server import FakeCriServer
from tests.support.patience import PATIENCE, eventually

IMAGE = "registry.test/app:1"
IMAGE_ID = "sha256:" + "1" * 64
ENVIRONMENT = {"NODE_NAME": "n1", "INSTANCE_NAME": "web"}


def samples(running: RunningAggregator) -> list[str]:
    return running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode().splitlines()


def fetch(socket: Path, running: RunningAggregator) -> subprocess.Popen[str]:
    given = {"cri_socket": socket, "ticket_endpoint": f"127.0.0.1:{running.http_port}", "log_format": "json"}
    arguments = ["fetch", *flags(given), IMAGE]
    environment = private_environment(ENVIRONMENT)
    return subprocess.Popen(command(arguments), stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(("present", "pulls"), [(False, 1), (True, 0)])
def test_a_node_is_warm_after_its_run(short_path: Path, present, pulls):
    held = [ImageRecord(id=IMAGE_ID, repo_tags=(IMAGE,))] if present else []
    with (
        FakeCriServer(short_path / "cri.sock", {IMAGE: [IMAGE_ID]}, images=held) as cri,
        running_aggregator(on_any_port(pulling_nodes=None)) as running,
    ):
        with fetch(short_path / "cri.sock", running) as process:
            _, errors = process.communicate(timeout=PATIENCE)

        assert 0 == process.returncode, errors
        assert pulls == len(cri.pulls)
        assert 'nodeprefetch_ticket_nodes{instance="web",state="warm"} 1.0' in samples(running)


def test_sigterm_ends_the_wait_and_leaves_the_queue(short_path: Path):
    with (
        FakeCriServer(short_path / "cri.sock") as cri,
        running_aggregator(on_any_port(pulling_nodes=0)) as running,
        fetch(short_path / "cri.sock", running) as process,
    ):
        eventually(lambda: "nodeprefetch_aggregator_open_ticket_requests 1.0" in samples(running))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)

        assert 128 + signal.SIGTERM == process.returncode
        assert () == cri.pulls
        assert "cancelled by SIGTERM" in [line.get("error") for line in log_lines(errors)]
        assert "nodeprefetch_aggregator_open_ticket_requests 0.0" in samples(running)
        assert not [line for line in samples(running) if 'state="waiting"' in line and line.endswith(" 1.0")]
