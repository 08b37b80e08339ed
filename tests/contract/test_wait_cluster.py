"""`wait` and `status --watch` from argv to the end, against a fake API server with an aggregator."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodeprefetch.board import Board, BoardCause, BoardImage, BoardNode, BoardSummary
from nodeprefetch.cli.commands import run
from nodeprefetch.cluster import looking
from tests.support.cluster_objects import IMAGES, config_map, daemon_set, digest_of, ended, node, pod, waiting
from tests.support.fake_kube import Failure, FakeKube

MIB = 1 << 20
SECONDS = re.compile(r"\b(\d+m)?\d+s\b")
GUARD = "--timeout=300s"
"""Time after which what a test waits for is not going to happen."""


def board_node(name: str, cells: str, **more: Any) -> BoardNode:
    """A node whose list is that of now; its state follows from the cells."""
    state = "failed" if "f" in cells else "pulling" if "p" in cells else "succeeded"
    end = "" if state == "pulling" else "finished"
    return BoardNode(
        **{"node": name, "state": state, "cells": cells, "list_digest": digest_of(), "run_end": end, "heard": 5, **more}
    )


WARM = board_node("n1", "rs")
PULLING = board_node("n1", "rp", done_bytes=50 * MIB, total_bytes=200 * MIB, rate=5 * MIB)
FAILED = board_node("n1", "rf", final=(1,))
RETRYING = board_node("n1", "rf")
NOT_FOUND = BoardCause(
    image=IMAGES[1],
    error_class="permanent",
    reason="not_found",
    error="manifest unknown",
    nodes=1,
    examples=("n1",),
    is_final=True,
)


class Cluster:
    """An installation `infra/web` on the node n1, whose aggregator has these boards, the last for ever."""

    def __init__(self, api: FakeKube, arguments: list[str]) -> None:
        self.api = api
        self.reads = api.objects.reads
        self._arguments = arguments
        self.reads.put("daemonsets", daemon_set())
        self.reads.put("configmaps", config_map())
        self.reads.put("pods", pod())
        self.reads.put("nodes", node())

    def serve(self, *boards: list[BoardNode], before: Callable[[int], None] = lambda _: None) -> None:
        """Serve these boards; `before` each it calls a function with its number."""
        left = list(boards)
        served = 0

        def answer(_: str) -> tuple[int, Any]:
            nonlocal served
            before(served)
            served += 1
            nodes = left.pop(0) if len(left) > 1 else left[0]
            causes = (NOT_FOUND,) if FAILED in nodes else ()
            board = Board(
                at=0,
                instance="web",
                instances=("web",),
                summary=BoardSummary(seconds_left=30),
                images=tuple(BoardImage(image=image) for image in IMAGES),
                nodes=tuple(nodes),
                causes=causes,
            )
            return 200, msgspec.to_builtins(board)

        self.reads.services["infra", "web-metrics:http"] = answer

    def wait(self, *arguments: str) -> int:
        """Run it, and return the exit code."""
        return run(["wait", "web", *self._arguments, *(arguments or (GUARD,))])

    def command(self, *arguments: str) -> list[str]:
        """The command line of a process."""
        return [sys.executable, "-m", "nodeprefetch", *arguments, *self._arguments]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looking, "INTERVAL", 0.01)
    with FakeKube() as api:
        yield Cluster(api, ["--kubeconfig", str(api.write_kubeconfig(tmp_path))])


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines, without times."""
    return [SECONDS.sub("Ns", line) for line in capsys.readouterr().out.splitlines()]


def test_it_waits_for_the_last_image(cluster, capsys):
    cluster.serve([PULLING], [PULLING], [WARM])

    assert 0 == cluster.wait()
    assert [
        "Ns: web in infra, as seen from: aggregator (through the API server)",
        "Ns: 0 of 1 node warm, 1 pulling; 50 of 200 MiB, 5.0 MiB/s, about Ns left",
        "web: 1 of 1 node warm after Ns",
    ] == told(capsys)


def test_an_image_that_cannot_come_ends_it_with_what_to_do(cluster, capsys):
    cluster.serve([PULLING], [FAILED])

    assert 1 == cluster.wait()
    lines = told(capsys)[2:]
    assert [
        "web cannot become warm (after Ns): 1 node has failed for good, 0 of 1 may",
        "0 of 1 node warm, 1 failed (1 for good)",
        f"  1 node: {IMAGES[1]}: manifest unknown (n1)",
    ] == lines[:3]
    assert "push the image" in lines[3]


def test_another_image_may_still_come(cluster):
    cluster.serve([FAILED])

    assert 0 == cluster.wait(GUARD, "--image", IMAGES[0])


def test_an_image_that_a_node_retries_is_waited_for(cluster):
    cluster.serve([RETRYING], [PULLING], [WARM])

    assert 0 == cluster.wait()


def test_a_list_that_is_edited_in_mid_wait_counts_from_then_on(cluster, capsys):
    """After the edit, what the node has said about the list before does not count any more."""
    edited = (*IMAGES, "quay.io/team/c:3")

    def edit(number: int) -> None:
        if number == 1:
            cluster.reads.put("configmaps", config_map(edited))

    newest = board_node("n1", "rs", list_digest=digest_of(edited))
    cluster.serve([PULLING], [PULLING], [WARM], [WARM], [newest], before=edit)

    assert 0 == cluster.wait()
    assert "Ns: the image list has changed" in told(capsys)


def test_a_list_that_is_broken_in_mid_wait_ends_it(cluster, capsys):
    def edit(number: int) -> None:
        if number == 1:
            cluster.reads.put("configmaps", config_map(text="quay.io/UPPER:1\n"))

    cluster.serve([PULLING], before=edit)

    assert 1 == cluster.wait()
    assert "web cannot become warm (after Ns): the image list is invalid" in told(capsys)


def test_a_node_that_joins_is_waited_for(cluster, capsys):
    """The controller wants another pod, which is not there yet; then it is, and pulls."""

    def join(number: int) -> None:
        if number == 0:
            cluster.reads.put("daemonsets", daemon_set(desired=2))
        if number == 3:
            cluster.reads.put("pods", pod("n2"))

    second = msgspec.structs.replace(WARM, node="n2")
    cluster.serve([PULLING], [WARM], [WARM], [WARM], [WARM], [WARM, second], before=join)

    assert 0 == cluster.wait()
    assert "web: 2 of 2 nodes warm after Ns" == told(capsys)[-1]


def test_a_node_that_leaves_is_not_waited_for(cluster, capsys):
    def leave(number: int) -> None:
        if number == 2:
            cluster.reads.put("daemonsets", daemon_set(desired=1))
            cluster.reads.remove("pods", "infra", pod("n2")["metadata"]["name"])

    cluster.reads.put("daemonsets", daemon_set(desired=2))
    cluster.reads.put("pods", pod("n2"))
    cluster.serve([WARM, msgspec.structs.replace(PULLING, node="n2")], before=leave)

    assert 0 == cluster.wait()
    assert "web: 1 of 1 node warm after Ns" == told(capsys)[-1]


def test_a_daemon_set_without_nodes_is_not_warm(cluster, capsys):
    cluster.reads.put("daemonsets", daemon_set(desired=0))
    cluster.reads.remove("pods", "infra", pod()["metadata"]["name"])
    cluster.serve([])

    assert 4 == cluster.wait("--timeout=0", "--nodes=1%")
    assert "Ns: note: no node matches the DaemonSet; waiting for one" in told(capsys)


def test_without_an_aggregator_labels_count(cluster, capsys):
    assert 0 == cluster.wait()
    assert "Ns: web in infra, as seen from: node labels and pods" in told(capsys)


def test_without_an_aggregator_an_image_that_cannot_come_ends_it(cluster):
    cluster.reads.put("nodes", node(label="failed", failed=IMAGES[1]))
    cluster.reads.put("pods", pod(ready=False, fetch=waiting("CrashLoopBackOff"), fetch_before=ended(1)))

    assert 1 == cluster.wait()


def test_a_label_of_an_earlier_list_does_not_count(cluster):
    cluster.reads.put("nodes", node(images=IMAGES[:1]))

    assert 4 == cluster.wait("--timeout=0")


def test_an_api_server_that_fails_for_a_moment_is_asked_again(cluster, capsys):
    cluster.api.fail(*[Failure(status=503) for _ in range(4)])

    assert 0 == cluster.wait()
    lines = told(capsys)
    assert lines[0].endswith("(trying again)")
    assert "Ns: answers again" == lines[1]


def test_an_api_server_that_says_nothing_does_not_delay_the_timeout(cluster, capsys):
    cluster.api.fail(*[Failure(how="stall") for _ in range(4)])

    assert 4 == cluster.wait("--timeout=300ms")
    assert ["web: timed out after Ns: no answer"] == told(capsys)


def test_an_unknown_installation_is_2(cluster, capsys):
    cluster.reads.remove("daemonsets", "infra", "web")

    assert 2 == cluster.wait()
    assert "nodeprefetch: no installation web in the cluster\n" == capsys.readouterr().err


def test_a_missing_permission_is_3_with_the_command_that_shows_it(cluster, capsys):
    cluster.reads.forbidden.add("list pods infra")

    assert 3 == cluster.wait()
    assert re.search(r"check with: kubectl .*auth can-i list pods -n infra", capsys.readouterr().err)


def test_a_kubeconfig_that_is_missing_is_3(tmp_path, capsys):
    assert 3 == run(["wait", "web", "--kubeconfig", str(tmp_path / "none")])
    assert "cannot read the kubeconfig" in capsys.readouterr().err


def test_watching_prints_again_when_something_changes(cluster):
    """It looks every 2 seconds, really."""
    cluster.serve([PULLING], [msgspec.structs.replace(PULLING, done_bytes=99 * MIB)], [WARM])
    with subprocess.Popen(
        cluster.command("status", "--watch", "--output=json"), stdout=subprocess.PIPE, text=True
    ) as process:
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=300)

    assert ["pulling", "warm"] == [picture["nodes"][0]["state"] for (picture,) in (first, second)]
    assert "" == rest.strip()
    assert 130 == process.returncode


def test_watching_ends_when_nobody_reads(cluster):
    cluster.serve([PULLING], [WARM], [PULLING], [WARM])
    reading, writing = os.pipe()
    process = subprocess.Popen(cluster.command("status", "--watch"), stdout=writing)
    os.close(writing)
    assert b"NAMESPACE" == os.read(reading, 9)
    os.close(reading)

    assert 141 == process.wait(timeout=300)


def test_watching_an_unknown_installation_is_2(cluster, capsys):
    assert 2 == run(["status", "other", "--watch", *cluster._arguments])
    assert "nodeprefetch: no installation other in the cluster\n" == capsys.readouterr().err
