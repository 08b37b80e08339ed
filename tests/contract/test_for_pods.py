"""`fetch --for-pods` as it runs on a node: the real program, and a fake API server over real HTTPS."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from nodeprefetch.cli.commands import run
from nodeprefetch.cli.environment import Environment
from nodeprefetch.cli.flags import FetchFlags
from nodeprefetch.cli.for_pods import prepare_pods
from nodeprefetch.emitter import Notices
from nodeprefetch.events import Event
from nodeprefetch.kube import connect
from nodeprefetch.report.workload import read_outcome
from nodeprefetch.values.image_ref import ImageRef
from tests.support.fake_kube import Failure, FakeKube

KEY = "nodeprefetch.io/web"
LISTED = "/api/v1/namespaces/team/pods"


@pytest.fixture
def api() -> Iterator[FakeKube]:
    with FakeKube() as running:
        running.add_node("n1", {KEY: "succeeded"}, {f"{KEY}.summary": "{}"})
        yield running


def put(api: FakeKube, name: str, *, node: str = "n1", phase: str = "Running", **metadata: object) -> None:
    """A pod of the workload."""
    known = {"name": name, "namespace": "team", "labels": {"app": "web"}}
    body = {"metadata": {**known, **metadata}, "spec": {"nodeName": node}, "status": {"phase": phase}}
    api.objects.reads.put("pods", body)


@pytest.fixture
def fetch(api: FakeKube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `fetch` on n1, which has no container runtime: exit code 3 says that it was about to pull."""
    monkeypatch.setenv("NODE_NAME", "n1")
    monkeypatch.setenv("INSTANCE_NAME", "web")
    login = api.write_kubeconfig(tmp_path)

    def fetch_it(*flags: str, selector: str = "team/app=web") -> int:
        more = ("--cri-socket=/nowhere.sock", "--runtime-wait=0", f"--kubeconfig={login}", "--no-events")
        return run(["fetch", f"--for-pods={selector}", *more, *flags, "registry.test/a:1"])

    return fetch_it


def test_a_node_without_the_pods_ends_well_and_pulls_nothing(api, fetch, capfd):
    assert 0 == fetch()

    (line, label) = capfd.readouterr().err.splitlines()
    assert 'msg="nothing to pull: no pod that matches app=web in namespace team runs on this node"' in line
    assert 'msg="removed stale node label"' in label
    assert ({}, {}) == (api.labels("n1"), api.annotations("n1"))


@pytest.mark.parametrize(
    "pod",
    [
        {"node": "n2"},
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"labels": {"app": "other"}},
        {"namespace": "other"},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_pods_elsewhere_and_those_that_end_do_not_count(api, fetch, pod):
    put(api, "web-1", **pod)

    assert 0 == fetch()


@pytest.mark.parametrize("phase", ["Running", "Pending"])
def test_a_pod_on_the_node_counts_also_before_it_runs(api, fetch, phase):
    put(api, "web-1", phase=phase)

    assert 3 == fetch()


def test_the_api_server_is_asked_for_these_pods_of_this_node_alone(api, fetch):
    fetch(selector="team/app=web,tier=front")

    (request,) = (each for each in api.requests if each.path.startswith(LISTED))
    assert "labelSelector=app=web,tier=front" in request.path
    assert "fieldSelector=spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed" in request.path


def test_who_acts_as_its_node_lists_pods_as_itself(api, fetch):
    """A Role allows that. Nodes may list pods too, but not all API servers let them."""
    fetch("--node-access=impersonate")

    assert [""] == [each.user for each in api.requests if each.path.startswith(LISTED)]


def test_a_refusal_makes_it_pull(api, fetch, capfd):
    api.objects.reads.forbidden.add("list pods team")

    assert 3 == fetch()
    assert "missing permission to list pods" in capfd.readouterr().err


def test_an_error_that_passes_is_waited_for(api, fetch):
    api.fail(Failure(status=500), Failure(status=429))

    assert 0 == fetch()


def test_all_problems_of_the_flag_come_at_once(fetch, capfd, monkeypatch):
    monkeypatch.delenv("NODE_NAME")

    assert 2 == fetch("--node-condition", "--pull-policy=Always", selector="app=-x")
    said = capfd.readouterr().err
    assert "--for-pods: 'app=-x': invalid label value '-x'" in said
    assert "--for-pods: cannot be combined with --node-condition or --remove-taint" in said
    assert "--for-pods requires NODE_NAME, the name of the node" in said


def test_keep_does_not_have_the_flag(capfd):
    assert 2 == run(["keep", "--for-pods=app=web", "a:1"])
    assert "--for-pods" in capfd.readouterr().err


class Signals:
    """Comes at once, or never."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = list(numbers)

    def __aiter__(self) -> "Signals":
        return self

    async def __anext__(self) -> int:
        if not self._numbers:
            await trio.sleep_forever()
        return self._numbers.pop()


async def asked(api: FakeKube, directory: Path, signals: Signals) -> tuple[object, str]:
    """What asking gives in a pod in namespace `prefetch`, and its termination message."""
    mount = api.write_service_account(directory / "mount")
    log = directory / "termination-log"
    log.touch()
    events: list[Event] = []
    prepared = prepare_pods(
        FetchFlags(),
        "app=web",
        Environment(node_name="n1", instance_name="web", variables=api.environment),
        images=(ImageRef.parse("a:1"),),
        notices=Notices(),
        emit=events.append,
        on_node=lambda _: None,
        mount=mount,
        termination_log=log,
    )
    prepared.api._connect = lambda: connect(environment=api.environment, mount=mount)
    return await prepared.ask(signals, grace=300), log.read_text()


async def test_the_container_says_in_its_status_that_it_was_not_needed(api, tmp_path):
    report, message = await asked(api, tmp_path, Signals())

    assert (None, ()) == (report.signal, report.failed)
    assert "no pod that matches app=web in namespace prefetch runs there" == read_outcome(message).why
    assert {"outcome", "why"} == set(json.loads(message))


async def test_a_signal_ends_it_without_an_answer(api, tmp_path):
    report, message = await asked(api, tmp_path, Signals(15))

    assert (15, "") == (report.signal, message)
