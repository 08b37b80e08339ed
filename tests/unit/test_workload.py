"""`--for-pods`: whether a run is needed, on virtual time, and what is written where it is not."""

import json

import pytest

from nodeprefetch.events import NodeLabelled
from nodeprefetch.kube import ForbiddenError, NotInClusterError, UnreachableError
from nodeprefetch.kube.objects import PodName
from nodeprefetch.report.node_api import NodeApi
from nodeprefetch.report.workload import (
    PATIENCE,
    Workload,
    read_outcome,
    remove_outdated_label,
    write_outcome,
)
from nodeprefetch.values.pod_selector import PodSelector
from tests.support.fake_nodes import HANG, FakeNodes

KEY, SUMMARY = "nodeprefetch.io/web", "nodeprefetch.io/web.summary"
WEB = PodName(name="web-1", labels={"app": "web"})
FORBIDDEN = ForbiddenError('listing pods in team: 403: pods is forbidden: User "system:serviceaccount:p:w" cannot list')


class Asked:
    """A run that asks, and what it says."""

    def __init__(self, nodes: FakeNodes, namespace: str = "team") -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []
        api = NodeApi("n1", connect=nodes.connect, warn=self.warnings.append, jitter=lambda: 1)
        self.workload = Workload(
            api,
            PodSelector(namespace, "app=web"),
            find_namespace=self.find_namespace,
            inform=self.infos.append,
            warn=self.warnings.append,
        )

    def find_namespace(self) -> str:
        return "prefetch"


async def test_a_node_with_one_of_the_pods_pulls(autojump_clock):
    asked = Asked(FakeNodes(pods=[WEB, PodName(name="web-2", labels={})]))

    assert await asked.workload.is_here()
    assert ["pulling for pod web-1 and 1 more, that matches app=web in namespace team"] == asked.infos
    assert not asked.warnings


async def test_a_node_without_one_does_not_and_says_so_in_one_line(autojump_clock):
    nodes = FakeNodes()
    asked = Asked(nodes)

    assert not await asked.workload.is_here()
    assert ["nothing to pull: no pod that matches app=web in namespace team runs on this node"] == asked.infos
    assert "no pod that matches app=web in namespace team runs there" == asked.workload.why
    assert [("team", "app=web", "n1")] == [about for _, what, about in nodes.calls if what == "list"]


async def test_without_a_namespace_it_is_that_of_this_pod(autojump_clock):
    nodes = FakeNodes(pods=[WEB])

    assert await Asked(nodes, namespace="").workload.is_here()
    assert ("prefetch", "app=web", "n1") == nodes.calls[-1][2]


async def test_pods_that_pull_are_never_the_workload(autojump_clock):
    """A selector such as tier!=db matches them, and one of them runs on each node."""
    own = {"app.kubernetes.io/name": "nodeprefetch", "app.kubernetes.io/component": "fetch", "app": "x"}

    assert not await Asked(FakeNodes(pods=[PodName(name="prefetch-1", labels=own)])).workload.is_here()


async def test_an_api_server_that_is_away_for_a_while_is_asked_again(autojump_clock):
    asked = Asked(FakeNodes(on_list=[UnreachableError("refused"), HANG, UnreachableError("refused")]))

    assert not await asked.workload.is_here()
    assert not asked.warnings


@pytest.mark.parametrize(
    ("nodes", "lines"),
    [
        (FakeNodes(on_list=99 * [UnreachableError("connection refused")]), 1),
        (FakeNodes(on_list=99 * [HANG]), 1),
        (FakeNodes(on_list=[FORBIDDEN]), 2),
        (FakeNodes(on_connect=[NotInClusterError("not running in a cluster")]), 2),
    ],
    ids=["away", "hangs", "forbidden", "no cluster"],
)
async def test_a_node_that_gets_no_answer_pulls_and_says_why(autojump_clock, nodes, lines):
    """To pull is never wrong; to fail would stop a rollout. It does not wait for longer than a minute."""
    asked = Asked(nodes)

    assert await asked.workload.is_here()
    assert lines == len(asked.warnings), asked.warnings
    assert asked.warnings[-1].endswith(": pulling")
    assert nodes.calls[-1][0] - nodes.calls[0][0] <= PATIENCE


async def test_a_missing_permission_is_named(autojump_clock):
    asked = Asked(FakeNodes(on_list=[FORBIDDEN]))

    await asked.workload.is_here()

    assert (
        "missing permission to list pods; check: kubectl auth can-i list pods --as=system:serviceaccount:p:w"
        in (asked.warnings[0])
    )


def summary(**more: object) -> str:
    known = {"result": "succeeded", "list_digest": "d", "end": "finished", "images": 1}
    rest = {"succeeded": 1, "present": 0, "failed": 0, "time": "2026-01-01T00:00:00Z", "version": "1"}
    return json.dumps({**known, **rest, **more})


async def forget(nodes: FakeNodes) -> list[NodeLabelled]:
    said: list[NodeLabelled] = []
    api = NodeApi("n1", connect=nodes.connect, warn=pytest.fail, jitter=lambda: 1)
    await remove_outdated_label(api, "web", prefix="nodeprefetch.io", list_digest="d", emit=said.append)
    return said


@pytest.mark.parametrize(
    ("label", "annotation"),
    [("succeeded", summary(list_digest="old")), ("succeeded", ""), ("failed", summary(result="failed"))],
)
async def test_what_an_earlier_run_wrote_about_another_list_is_removed(autojump_clock, label, annotation):
    nodes = FakeNodes(labels={KEY: label, "other": "1"}, annotations={SUMMARY: annotation})

    assert [(KEY, "", "")] == [(each.key, each.value, each.error) for each in await forget(nodes)]
    assert ({"other": "1"}, {}) == (nodes.labels, nodes.annotations)


async def test_a_label_that_says_that_these_images_are_there_stays(autojump_clock):
    nodes = FakeNodes(labels={KEY: "succeeded"}, annotations={SUMMARY: summary()})

    assert [] == await forget(nodes)
    assert {KEY: "succeeded"} == nodes.labels


async def test_without_a_label_nothing_is_written(autojump_clock):
    nodes = FakeNodes(labels={"other": "1"})

    assert [] == await forget(nodes)
    assert [] == nodes.times("patch")


def test_the_termination_message_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "termination-log"
    file.write_text("")

    write_outcome("no pod runs there", file=file)

    assert "no pod runs there" == read_outcome(file.read_text()).why


def test_outside_of_a_container_no_file_is_made(tmp_path):
    write_outcome("no pod runs there", file=tmp_path / "termination-log")

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "Killed", "{}", '{"outcome":"other"}', '{"outcome":1}', 9999 * "["])
def test_other_termination_messages_say_nothing(text):
    assert read_outcome(text) is None
