"""Startup taints on real API servers, while somebody else writes taints of the same node."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
import trio

from nodeprefetch.events import Event, GateOpened, RunEnd, RunFinished, TaintsRemoved
from nodeprefetch.kube import ConflictError, InvalidError, Kube, connect
from nodeprefetch.report.gate import Gate
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.startup_taints import StartupTaints
from nodeprefetch.values.taint import parse_taint
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.apiserver

ROUNDS = 100
"""On the newest API server; the oldest does the same with patches, so a tenth will do."""

OURS = {"key": "readiness.k8s.io/web", "value": "no", "effect": "NoSchedule"}
NAMED = ("readiness.k8s.io/web=no:NoSchedule", "absent")
LIKE_OURS = [
    {"key": "readiness.k8s.io/web", "value": "no", "effect": "PreferNoSchedule"},
    {"key": "readiness.k8s.io/web-2", "value": "no", "effect": "NoSchedule"},
]
_numbers = count(1)


class ApiNode:
    """A node of a real API server."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.name = f"tainted-{next(_numbers)}"
        self.told: list[Event] = []
        self.complaints: list[str] = []

    async def request(self, method: str, body: Any, content_type: str, *, path: str = "") -> None:
        path = path or f"/api/v1/nodes/{self.name}"
        await self.kube._client.request("the test", method, path, body=body, content_type=content_type)

    async def register(self, *taints: dict[str, str]) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}, "spec": {"taints": [*taints]}}
        await self.request("POST", node, "application/json", path="/api/v1/nodes")
        await self.write(taints)  # the API server has added its own

    async def write(self, taints: Any, version: str = "") -> None:
        """Write all taints, as `kubectl taint` does."""
        body = {"metadata": {"resourceVersion": version} if version else {}, "spec": {"taints": [*taints]}}
        await self.request("PATCH", body, "application/merge-patch+json")

    async def taints(self) -> list[dict[str, str]]:
        return [{**each.fields} for each in (await self.kube.get_node(self.name)).taints]

    async def change(self, add: list[dict[str, str]], remove: list[dict[str, str]]) -> None:
        """Add and remove taints as everybody should: only to what has been read."""
        while True:
            node = await self.kube.get_node(self.name)
            kept = [{**each.fields} for each in node.taints if each.fields not in remove]
            try:
                await self.write([*kept, *add], node.resource_version)
            except ConflictError:
                continue
            return

    async def connect(self) -> Kube:
        return self.kube

    async def open_gate(self) -> None:
        """What a run does at its end."""
        api = NodeApi(self.name, connect=self.connect, warn=self.complaints.append)
        taints = StartupTaints(
            api, [parse_taint(text) for text in NAMED], gate=Gate(age=0, timeout=1), emit=self.told.append
        )
        taints.emit(RunFinished(run_id="r", end=RunEnd.FINISHED, succeeded=1, present=0, failed=0, elapsed=1))
        taints.emit(GateOpened(after=1))
        await taints.finish()

    def said(self) -> list[tuple[tuple[str, ...], str]]:
        return [(each.taints, each.error) for each in self.told if isinstance(each, TaintsRemoved)]


@asynccontextmanager
async def new_node(api_server: ApiServer) -> AsyncGenerator[ApiNode]:
    kube = await connect(str(api_server.kubeconfig), kept_connections=8)
    node = ApiNode(kube)
    try:
        yield node
    finally:
        await node.request("DELETE", None, "")
        await kube.aclose()


async def test_the_last_taint_leaves_no_trace(api_server: ApiServer) -> None:
    async with new_node(api_server) as node:
        await node.register(OURS)
        await node.open_gate()

        spec = api_server.kubectl.get("node", node.name).get("spec", {})

    assert "taints" not in spec
    assert ([((f"{NAMED[0]}",), "")], []) == (node.said(), node.complaints)


async def test_others_keep_their_place_and_all_fields(api_server: ApiServer) -> None:
    timed = {"key": "other", "effect": "NoExecute", "timeAdded": "2026-01-31T12:00:00Z"}
    async with new_node(api_server) as node:
        await node.register(timed, LIKE_OURS[0], OURS, LIKE_OURS[1])
        await node.open_gate()

        assert [timed, *LIKE_OURS] == await node.taints()


async def test_a_patch_that_does_not_hold_any_more_changes_nothing(api_server: ApiServer) -> None:
    async with new_node(api_server) as node:
        await node.register(OURS, *LIKE_OURS)
        read = await node.kube.get_node(node.name)
        await node.write([*LIKE_OURS, OURS])

        with pytest.raises(InvalidError):
            await node.kube.remove_taints(read, [read.taints[0]])

        assert [*LIKE_OURS, OURS] == await node.taints()


@pytest.mark.slow
async def test_a_thousand_times_ours_goes_and_no_other_is_lost(api_server: ApiServer) -> None:
    """Another writer adds and removes taints all the while, and finds all of its own at each look."""
    written: list[dict[str, str]] = []
    looks = 0

    async def write_others(node: ApiNode) -> None:
        nonlocal looks
        for number in count(1):
            new = {"key": f"other-{number}", "value": "x", "effect": "NoSchedule"}
            old = written[:-5]
            await node.change([new], old)
            written.append(new)
            del written[: len(old)]
            found = [taint for taint in await node.taints() if taint["key"].startswith("other-")]
            assert sorted(map(json.dumps, written)) == sorted(map(json.dumps, found))
            looks += 1

    rounds = ROUNDS // 10 if api_server.version else ROUNDS
    async with new_node(api_server) as node:
        await node.register(*LIKE_OURS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_others, node)
            for _ in range(rounds):
                await node.change([OURS], [])
                await node.open_gate()
                left = await node.taints()
                assert OURS not in left
                assert all(taint in left for taint in LIKE_OURS)
            nursery.cancel_scope.cancel()

    assert ([((NAMED[0],), "")] * rounds, []) == (node.said(), node.complaints)
    assert looks > rounds / 10
