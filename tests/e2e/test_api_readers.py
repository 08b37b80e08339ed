"""Readers can do what the commands for people need, and nothing else: asked of API servers, and tried with a token."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio

from nodeprefetch.errors import NoAccessError
from nodeprefetch.kube import KubeError
from nodeprefetch.kube.reads import KubeReads, connect_reads
from tests.e2e.installation import Installation, install
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.apiserver

NAMESPACE = "readers"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
READS: dict[str, Callable[[KubeReads], Awaitable[object]]] = {
    "a DaemonSet": lambda kube: kube.daemon_set(NAMESPACE, "web"),
    "all DaemonSets": lambda kube: kube.daemon_sets(NAMESPACE, {}),
    "revisions": lambda kube: kube.revisions(NAMESPACE, {}),
    "the list": lambda kube: kube.config_map(NAMESPACE, "web"),
    "pods": lambda kube: kube.pods(NAMESPACE, {}),
    "nodes": lambda kube: kube.nodes(),
    "a node": lambda kube: kube.whole_node(f"{NAMESPACE}-a"),
}
REACHING_NOBODY: dict[str, Callable[[KubeReads], Awaitable[object]]] = {
    "a log": lambda kube: kube.pod_log(NAMESPACE, "web-daemonset", "prefetch", lines=1),
    "the aggregator": lambda kube: kube.service_answer(NAMESPACE, "web-metrics", "http", "/v1/board?instance=web"),
}
"""What a kubelet or a pod would answer, of which there is none here."""


@pytest.fixture(scope="module")
def readable(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Shared by the tests here."""
    images = tmp_path_factory.mktemp("images") / "images.txt"
    images.write_text("registry.example/a:1\n")
    made = install(api_server, "web", NAMESPACE, "--collect-metrics", "--reader-role", f"--images={images}")
    yield made
    made.remove()


@pytest.fixture(scope="module")
def token(readable: Installation) -> str:
    """What a job with the account has."""
    return readable.server.token(NAMESPACE, "web-reader")


def read(readable: Installation, token: str, what: Callable[[KubeReads], Awaitable[object]]) -> object:
    """With the client of the commands."""

    async def run() -> object:
        kube = await connect_reads(str(readable.server.kubeconfig_with(token)))
        try:
            return await what(kube)
        finally:
            await kube.aclose()

    return trio.run(run)


def test_the_account_has_these_rights_and_no_others(readable: Installation) -> None:
    """Beyond what every service account has."""
    nodes = {"nodes [] [] [get list]"}
    wanted = {
        "default": nodes,
        NAMESPACE: {
            *nodes,
            "daemonsets.apps [] [web] [get]",
            "daemonsets.apps [] [] [list]",
            "controllerrevisions.apps [] [] [list]",
            "configmaps [] [web] [get]",
            "pods [] [] [get list]",
            "pods/log [] [] [get]",
            "services/proxy [] [web-metrics:http] [get]",
        },
    }

    for namespace, rights in wanted.items():
        everybodys = readable.rights("system:serviceaccount:readers:nobody", namespace)
        assert rights == readable.rights(f"{readable.user}-reader", namespace) - everybodys


@pytest.mark.parametrize("what", READS)
def test_readers_read_what_the_commands_need(readable: Installation, token: str, what: str) -> None:
    assert read(readable, token, READS[what]) is not None


@pytest.mark.parametrize("what", REACHING_NOBODY)
def test_readers_are_let_through_to_logs_and_the_aggregator(readable: Installation, token: str, what: str) -> None:
    with pytest.raises(KubeError) as refusal:
        read(readable, token, REACHING_NOBODY[what])

    assert not isinstance(refusal.value, NoAccessError)


@pytest.mark.parametrize(
    "asked",
    [
        f"GET /apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/other",
        "GET /apis/apps/v1/daemonsets",
        f"GET /api/v1/namespaces/{NAMESPACE}/configmaps",
        f"GET /api/v1/namespaces/{NAMESPACE}/configmaps/web-metrics",
        f"GET /api/v1/namespaces/{NAMESPACE}/secrets",
        f"GET {SERVICES}",
        f"GET {SERVICES}/web-metrics:grpc/proxy/healthz",
        f"GET {SERVICES}/web-metrics/proxy/healthz",
        f"GET {SERVICES}/https:web-metrics:http/proxy/healthz",
        f"GET {SERVICES}/other:http/proxy/healthz",
        f"POST {SERVICES}/web-metrics:http/proxy/v1/events",
        f"POST {SERVICES}/web-metrics:http/proxy/v1/tickets",
        f"PUT {SERVICES}/web-metrics:http/proxy/v1/events",
        f"GET /api/v1/namespaces/{NAMESPACE}/pods/web-daemonset/exec?command=id&stdout=1",
        f"GET /api/v1/namespaces/{NAMESPACE}/pods/web-daemonset/proxy/",
        f"POST /api/v1/namespaces/{NAMESPACE}/pods",
        f"DELETE /api/v1/namespaces/{NAMESPACE}/pods/web-daemonset",
        f"POST /api/v1/namespaces/{NAMESPACE}/serviceaccounts/web/token",
        f"PATCH /api/v1/nodes/{NAMESPACE}-a",
        f"GET /api/v1/nodes/{NAMESPACE}-a/proxy/pods",
        "GET /api/v1/namespaces/default/pods",
    ],
)
def test_the_readers_token_is_of_no_use_for_anything_else(readable: Installation, token: str, asked: str) -> None:
    method, path = asked.split()
    body = None if method in {"GET", "DELETE"} else {}

    assert 403 == readable.server.ask(method, path, token=token, body=body).status
