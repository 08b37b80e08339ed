"""What the commands for people read of a cluster, against a fake API server over real HTTPS."""

from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from nodeprefetch.board import Board, BoardImage, BoardNode, BoardSummary
from nodeprefetch.cli.cluster_access import parse_pull_arguments
from nodeprefetch.cluster.access import ClusterAccess, open_access
from nodeprefetch.cluster.installation import Service, find_installation, find_installations
from nodeprefetch.cluster.look import Observer
from nodeprefetch.cluster.picture import NodeState, Picture
from nodeprefetch.errors import NoAccessError, UsageError, leaves
from nodeprefetch.kube import NotFoundError, PassingKubeError
from tests.support.cluster_objects import (
    IMAGES,
    config_map,
    daemon_set,
    digest_of,
    node,
    pod,
    revision,
)
from tests.support.fake_kube import Failure, FakeKube

AGGREGATOR = ("infra", "web-metrics:http")


@pytest.fixture
def api():
    with FakeKube() as running:
        reads = running.objects.reads
        reads.put("daemonsets", daemon_set())
        reads.put("configmaps", config_map())
        reads.put("pods", pod())
        reads.put("nodes", node())
        yield running


@asynccontextmanager
async def opened(api: FakeKube, tmp_path: Any, **more: Any):
    path = str(api.write_kubeconfig(tmp_path))
    async with open_access(parse=parse_pull_arguments, environment={}, kubeconfig=path, **more) as access:
        yield access


async def look(access: ClusterAccess, name: str = "web", namespace: str | None = None) -> Picture:
    return await Observer(access, await find_installation(access, namespace, name)).look()


def board(*nodes: BoardNode) -> dict[str, Any]:
    return msgspec.to_builtins(
        Board(
            at=0,
            instance="web",
            instances=("web",),
            summary=BoardSummary(seconds_left=60),
            images=tuple(BoardImage(image=image) for image in IMAGES),
            nodes=nodes,
            causes=(),
        )
    )


def serve(api: FakeKube, *nodes: BoardNode) -> list[str]:
    """The aggregator answers with this board; returns what it is asked, as it comes."""
    asked: list[str] = []

    def answer(path: str) -> tuple[int, Any]:
        asked.append(path)
        return 200, board(*nodes)

    api.objects.reads.services[AGGREGATOR] = answer
    return asked


WARM = BoardNode(node="n1", state="present", cells="rr", list_digest=digest_of(), run_end="finished", heard=5)


def only_error(group: BaseException) -> BaseException:
    (error,) = leaves(group)
    return error


async def test_an_installation_is_found_by_the_labels_of_its_daemon_set(api, tmp_path):
    async with opened(api, tmp_path) as access:
        (found,) = await find_installations(access)

    assert ("infra", "web", "web", "nodeprefetch.io", "prefetch") == (
        found.namespace,
        found.name,
        found.instance,
        found.label_prefix,
        found.container,
    )
    assert Service(namespace="infra", name="web-metrics") == found.service


async def test_what_the_aggregator_says_comes_first(api, tmp_path):
    asked = serve(api, WARM)

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert ["/v1/board?instance=web"] == asked
    assert "aggregator (through the API server)" == picture.source
    assert () == picture.notes
    assert [NodeState.WARM] == [each.state for each in picture.nodes]
    assert (IMAGES, 5, 60) == (picture.list_images, picture.heard, picture.seconds_left)
    assert not [request for request in api.requests if request.path.startswith("/api/v1/nodes")]


async def test_without_an_aggregator_the_labels_of_nodes_count(api, tmp_path):
    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert "node labels and pods" == picture.source
    assert [NodeState.WARM] == [each.state for each in picture.nodes]
    (note,) = picture.notes
    assert note.startswith("the aggregator did not answer: asking Service web-metrics in infra: 404")


async def test_an_aggregator_that_may_not_be_asked_is_named_with_the_permission(api, tmp_path):
    serve(api, WARM)
    api.objects.reads.forbidden.add("get services/proxy infra")

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    (note,) = picture.notes
    assert "kubectl" in note
    assert "auth can-i get services/web-metrics:http --subresource=proxy -n infra" in note
    assert [NodeState.WARM] == [each.state for each in picture.nodes]


async def test_an_aggregator_that_wants_a_token_is_explained(api, tmp_path):
    api.objects.reads.services[AGGREGATOR] = lambda _: (401, {"error": "missing bearer token"})

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert "--aggregator-token-file" in picture.notes[0]


@pytest.mark.parametrize("answer", [b"<html>", b"[" * 100_000, {"nodes": []}])
async def test_an_aggregator_without_boards_is_passed_over(api, tmp_path, answer):
    api.objects.reads.services[AGGREGATOR] = lambda _: (200, answer)

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert ("the aggregator does not serve boards: is its version older?",) == picture.notes
    assert [NodeState.WARM] == [each.state for each in picture.nodes]


async def test_nodes_that_the_aggregator_has_not_heard_of_count_by_their_labels(api, tmp_path):
    """It may have been restarted without its database."""
    reads = api.objects.reads
    reads.put("daemonsets", daemon_set(desired=2))
    reads.put("pods", pod("n2"))
    reads.put("nodes", node("n2", at="2026-01-01T00:00:00Z"))
    serve(api, WARM)

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert [NodeState.WARM, NodeState.WARM] == [each.state for each in picture.nodes]
    assert ("the aggregator has not heard of 1 node; their labels are used",) == picture.notes


async def test_an_aggregator_that_failed_is_left_alone_for_a_moment(api, tmp_path):
    asked: list[str] = []

    def fail(path: str) -> tuple[int, Any]:
        asked.append(path)
        return 503, {"message": "no endpoints available for service"}

    api.objects.reads.services[AGGREGATOR] = fail
    async with opened(api, tmp_path) as access:
        observer = Observer(access, await find_installation(access, None, "web"))
        notes = [(await observer.look()).notes for _ in range(3)]

    assert 1 == len(asked)
    assert 1 == len(set(notes))


async def test_each_look_sees_the_newest_daemon_set_and_list(api, tmp_path):
    serve(api, WARM)
    async with opened(api, tmp_path) as access:
        observer = Observer(access, await find_installation(access, None, "web"))
        first = await observer.look()
        api.objects.reads.put("configmaps", config_map([*IMAGES, "quay.io/team/c:3"]))
        api.objects.reads.put("daemonsets", daemon_set(generation=4, observed=3))
        second = await observer.look()

    assert ([NodeState.WARM], True) == ([each.state for each in first.nodes], first.is_settled)
    assert ([NodeState.WAITING], False) == ([each.state for each in second.nodes], second.is_settled)


async def test_pods_of_a_change_that_was_taken_back_are_known_by_the_newest_revision(api, tmp_path):
    serve(api, WARM)
    reads = api.objects.reads
    reads.put("pods", pod(generation="1", revision="first"))
    reads.put("controllerrevisions", revision(2, "second"))
    reads.put("controllerrevisions", revision(3, "first"))

    async with opened(api, tmp_path) as access:
        assert [NodeState.WARM] == [each.state for each in (await look(access)).nodes]
        reads.put("controllerrevisions", revision(4, "second"))
        assert [NodeState.WAITING] == [each.state for each in (await look(access)).nodes]


async def test_long_lists_come_in_pages(api, tmp_path):
    reads = api.objects.reads
    reads.largest_page = 3
    names = [f"n{number}" for number in range(10)]
    for name in names:
        reads.put("pods", pod(name))
        reads.put("nodes", node(name))
    reads.put("daemonsets", daemon_set(desired=10))

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert names == [each.node for each in picture.nodes]
    assert 10 == picture.count(NodeState.WARM)


async def test_looking_in_all_namespaces_may_be_forbidden(api, tmp_path):
    """The context's namespace is left, and there the right to get one by name is enough."""
    api.objects.reads.forbidden |= {"list daemonsets", "list daemonsets infra"}
    path = api.write_kubeconfig(tmp_path)
    config = msgspec.json.decode(path.read_bytes())
    config["contexts"][0]["context"]["namespace"] = "infra"
    path.write_bytes(msgspec.json.encode(config))

    async with open_access(parse=parse_pull_arguments, environment={}, kubeconfig=str(path)) as access:
        assert "infra" == (await find_installation(access, None, "web")).namespace
        with pytest.raises(UsageError, match="no installation other in namespace infra"):
            await find_installation(access, None, "other")
        with pytest.raises(NoAccessError) as caught:
            await find_installations(access)

    assert f"kubectl --kubeconfig {path} auth can-i list daemonsets.apps -n infra" == caught.value.check


async def test_two_installations_of_one_name_need_a_namespace(api, tmp_path):
    api.objects.reads.put("daemonsets", daemon_set(namespace="other"))

    async with opened(api, tmp_path) as access:
        with pytest.raises(UsageError, match="in several namespaces: infra, other; choose one with --namespace"):
            await find_installation(access, None, "web")
        assert "other" == (await find_installation(access, "other", "web")).namespace


async def test_pods_that_may_not_be_listed_end_the_look(api, tmp_path):
    api.objects.reads.forbidden.add("list pods infra")

    async with opened(api, tmp_path) as access:
        with pytest.raises(NoAccessError, match="can-i list pods -n infra"):
            await look(access)


async def test_a_server_that_fails_for_a_moment_is_told_apart(api, tmp_path):
    async with opened(api, tmp_path) as access:
        observer = Observer(access, await find_installation(access, None, "web"))
        api.fail(*[Failure(status=503) for _ in range(3)])
        with pytest.raises(PassingKubeError):
            await observer.look()
        api.failures.clear()
        assert 1 == (await observer.look()).count(NodeState.WARM)


async def test_a_daemon_set_that_is_gone_is_told_apart(api, tmp_path):
    async with opened(api, tmp_path) as access:
        observer = Observer(access, await find_installation(access, None, "web"))
        await observer.look()
        api.objects.reads.remove("daemonsets", "infra", "web")
        with pytest.raises(NotFoundError):
            await observer.look()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quay.io/UPPER:1\n", "must be lower-case"),
        ("# nothing\n", "contains no images"),
        ("{}", "convert with|JSON"),
    ],
)
async def test_an_invalid_list_is_reported(api, tmp_path, text, problem):
    api.objects.reads.put("configmaps", config_map(text=text))
    serve(api, WARM)

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert picture.list_problems
    assert 0 == picture.count(NodeState.WARM)
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError("\n".join(picture.list_problems))


async def test_a_list_that_is_missing_is_reported(api, tmp_path):
    api.objects.reads.remove("configmaps", "infra", "web")

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert ("/etc/nodeprefetch/list/images.txt: there is no ConfigMap web",) == picture.list_problems


async def test_a_list_that_may_not_be_read_lets_any_list_count(api, tmp_path):
    api.objects.reads.forbidden.add("get configmaps infra")
    api.objects.reads.put("nodes", node(images=["quay.io/other:1"]))

    async with opened(api, tmp_path) as access:
        picture = await look(access)

    assert [NodeState.WARM] == [each.state for each in picture.nodes]
    assert "can-i get configmaps/web -n infra" in "\n".join(picture.notes)


async def test_a_login_that_is_refused_is_no_access(api, tmp_path):
    async def ask() -> None:
        async with opened(api, tmp_path) as access:
            api.tokens[:] = ["another"]
            await find_installations(access)

    with pytest.raises((NoAccessError, BaseExceptionGroup)) as caught:
        await ask()

    error = only_error(caught.value)
    assert isinstance(error, NoAccessError)
    assert "kubectl auth whoami" == error.check
