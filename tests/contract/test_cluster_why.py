"""`why` against a fake API server over real HTTPS, with a real aggregator behind its service proxy."""

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import run
from typing import Any

import msgspec
import pytest

from nodeprefetch.batch import AnyEvent
from nodeprefetch.cli.cluster_access import parse_pull_arguments
from nodeprefetch.cluster.access import open_access
from nodeprefetch.cluster.diagnosis import Diagnosis
from nodeprefetch.cluster.picture import NodeState
from nodeprefetch.cluster.why import why
from nodeprefetch.errors import NoAccessError, UsageError, leaves
from nodeprefetch.events import AttemptFinished, ImageFinished, Outcome, RunEnd, RunFinished, RunStarted
from nodeprefetch.report.log import text_of
from nodeprefetch.settings import LogFormat, PullPolicy
from tests.support.aggregator import RunningAggregator, on_any_port, running_aggregator
from tests.support.aggregator_program import AggregatorProgram
from tests.support.batches import batch_of
from tests.support.cluster_objects import (
    IMAGES,
    RUNNING,
    config_map,
    daemon_set,
    digest_of,
    ended,
    node,
    pod,
    waiting,
)
from tests.support.fake_kube import FakeKube

AGGREGATOR = ("infra", "web-metrics:http")
FIRST, SECOND = IMAGES
AT = 1_767_225_600.0
NOW = AT + 600
HEADERS = {"content-type": "application/msgpack"}


@pytest.fixture
def api() -> Iterator[FakeKube]:
    with FakeKube() as running:
        reads = running.objects.reads
        reads.put("daemonsets", daemon_set())
        reads.put("configmaps", config_map())
        reads.put("pods", pod(ready=False, fetch=waiting("CrashLoopBackOff"), fetch_before=ended(1)))
        reads.put("nodes", node(label=None))
        yield running


@pytest.fixture
def aggregator(api: FakeKube) -> Iterator[RunningAggregator]:
    """A real one, which the API server's proxy leads to."""
    with running_aggregator(on_any_port()) as running:

        def proxied(path: str) -> tuple[int, Any]:
            answer = running.ask("GET", path)
            return answer.status, answer.body

        api.objects.reads.services[AGGREGATOR] = proxied
        yield running


@asynccontextmanager
async def opened(api: FakeKube, directory: Path, **more: Any):
    path = str(api.write_kubeconfig(directory))
    async with open_access(parse=parse_pull_arguments, environment={}, kubeconfig=path, **more) as access:
        yield access


async def ask(api: FakeKube, directory: Path, *about: str, **more: Any) -> list[Diagnosis]:
    async with opened(api, directory) as access:
        return await why(access, *about, now=NOW, **more)


async def refused(api: FakeKube, directory: Path, *about: str, **more: Any) -> BaseException:
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - it may come in a group
        await ask(api, directory, *about, **more)
    (error,) = leaves(raised.value)
    return error


def failed_attempt(
    number: int = 1, *, image: str = SECOND, at: float = AT, error: str = "manifest unknown"
) -> AttemptFinished:
    return AttemptFinished(
        at=at,
        attempt_id=f"attempt-{image}-{number}-{at}",
        image=image,
        attempt=number,
        started_at=at - 2,
        duration=2.0,
        limit=30.0,
        credential="pull-secret quay.io",
        error="manifest unknown",
        error_class="permanent",
        reason="not_found",
    )


def events_of_a_failed_run(attempts: int = 1) -> tuple[AnyEvent, ...]:
    """The first image is there, the second one is not found."""
    start = RunStarted(
        at=AT - 10,
        run_id="run-1",
        node="n1",
        version="1",
        runtime="containerd 2",
        socket="/run/c",
        images=IMAGES,
        instance="web",
        list_digest=digest_of(),
    )
    done = {"policy": PullPolicy.IF_NOT_PRESENT, "elapsed": 1.0}
    failure = {"error": "manifest unknown", "error_class": "permanent", "reason": "not_found"}
    return (
        start,
        ImageFinished(at=AT, image=FIRST, outcome=Outcome.PRESENT, attempts=0, **done),  # type: ignore[arg-type]
        *(failed_attempt(number + 1, at=AT + number) for number in range(attempts)),
        ImageFinished(at=AT, image=SECOND, outcome=Outcome.FAILED, attempts=1, **done, **failure),  # type: ignore[arg-type]
        RunFinished(at=AT + 1, run_id="run-1", end=RunEnd.FINISHED, succeeded=0, present=1, failed=1, elapsed=11.0),
    )


def body_of(*events: AnyEvent) -> bytes:
    return msgspec.msgpack.encode(batch_of(*events, node="n1", instance="web"))


def submit(aggregator: RunningAggregator, *events: AnyEvent) -> None:
    assert 200 == aggregator.ask("POST", "/v1/events", body_of(*events), HEADERS).status


async def test_attempts_and_errors_come_from_the_aggregator(api, aggregator, tmp_path):
    submit(aggregator, *events_of_a_failed_run(2))

    (found,) = await ask(api, tmp_path, "n1")

    assert ("aggregator (through the API server)", NodeState.FAILED, 1, 2) == (
        found.source, found.state, found.present, found.listed
    )  # fmt: skip
    (image,) = found.images
    assert (SECOND, "failed", "manifest unknown", "permanent", "not_found") == (
        image.image, image.state, image.error, image.error_class, image.reason
    )  # fmt: skip
    assert [(2, AT - 1), (1, AT - 2)] == [(each.attempt, each.started_at) for each in image.attempts]
    assert {("pull-secret quay.io", 30.0, 2.0, "run-1")} == {
        (each.credential, each.limit, each.duration, each.run_id) for each in image.attempts
    }
    assert [True] == ["exit code 1" in text for text in found.obstacles]


async def test_an_image_is_named_by_the_end_of_its_name_and_gets_all_its_attempts(api, aggregator, tmp_path):
    submit(aggregator, *events_of_a_failed_run(13))

    (of_all,) = await ask(api, tmp_path, "n1")
    (of_one,) = await ask(api, tmp_path, "n1", "team/b")

    assert (10, 3) == (len(of_all.images[0].attempts), of_all.images[0].more_attempts)
    assert [(SECOND, 13, 0)] == [(each.image, len(each.attempts), each.more_attempts) for each in of_one.images]


async def test_without_an_answer_about_attempts_the_log_has_them(api, aggregator, tmp_path):
    """As of an aggregator of an older version."""
    submit(aggregator, *events_of_a_failed_run())
    put_log(api, *events_of_a_failed_run(2))
    proxied = api.objects.reads.services[AGGREGATOR]
    older = {"reason": "not_found", "error": "Not Found"}
    api.objects.reads.services[AGGREGATOR] = lambda path: (404, older) if "/attempts" in path else proxied(path)

    (found,) = await ask(api, tmp_path, "n1")

    assert [2, 1] == [each.attempt for each in found.images[0].attempts]
    assert "aggregator (through the API server), and the pod's log" == found.source
    assert any(note.startswith("the aggregator did not answer for attempts: ") for note in found.notes)


async def test_an_image_that_is_there_can_be_asked_for(api, aggregator, tmp_path):
    submit(aggregator, *events_of_a_failed_run())

    (found,) = await ask(api, tmp_path, "n1", FIRST)

    assert [(FIRST, "present", "")] == [(each.image, each.state, each.error) for each in found.images]


def put_log(api: FakeKube, *events: AnyEvent, container: str = "prefetch", more: str = "") -> None:
    text = "".join(f"{text_of(event, LogFormat.LOGFMT)}\n" for event in events)
    api.objects.reads.logs["infra", "web-n1", container] = text + more


async def test_without_an_aggregator_the_pods_log_has_the_attempts(api, tmp_path):
    """The API server has no such Service; the node has not even a label."""
    put_log(api, *events_of_a_failed_run(2), more="nodeprefetch: the last words\n")

    (found,) = await ask(api, tmp_path, "n1", SECOND)

    assert found.source == "node labels and pods, and the pod's log"
    (image,) = found.images
    assert ("failed", "permanent", "not_found", [2, 1]) == (
        image.state, image.error_class, image.reason, [each.attempt for each in image.attempts]
    )  # fmt: skip
    assert {("pull-secret quay.io", "run-1", 2.0)} == {
        (each.credential, each.run_id, each.duration) for each in image.attempts
    }
    assert "container prefetch of pod web-n1" == found.log_of
    assert "nodeprefetch: the last words" == found.log[-1]
    assert any("the aggregator did not answer" in note for note in found.notes)


async def test_the_log_shows_why_a_pod_ends_even_if_the_aggregator_answers(api, aggregator, tmp_path):
    submit(aggregator, *events_of_a_failed_run())
    api.objects.reads.put("pods", pod(ready=False, fetch=waiting("CrashLoopBackOff"), fetch_before=ended(2)))
    put_log(api, more="nodeprefetch: --cri-socket: no such file\n")

    (found,) = await ask(api, tmp_path, "n1")

    assert ("nodeprefetch: --cri-socket: no such file",) == found.log
    assert [1] == [len(image.attempts) for image in found.images]


async def test_a_log_that_must_not_be_read_is_a_note_with_the_permission(api, tmp_path):
    put_log(api, *events_of_a_failed_run())
    api.objects.reads.forbidden.add("get pods/log infra")

    (found,) = await ask(api, tmp_path, "n1")

    assert () == found.log
    assert any("auth can-i get pods/web-n1 --subresource=log -n infra" in note for note in found.notes)
    assert any("exit code 1" in text for text in found.obstacles)


async def test_the_log_from_before_a_restart_is_read_too(api, tmp_path):
    api.objects.reads.put("pods", pod(ready=False, fetch=RUNNING, fetch_before=ended(1)))
    put_log(api, failed_attempt(2, at=AT))
    put_log(api, failed_attempt(1, at=AT - 100), container="prefetch (previous)")

    (found,) = await ask(api, tmp_path, "n1", SECOND)

    assert [AT - 2, AT - 102] == [each.started_at for each in found.images[0].attempts]


async def test_a_container_that_has_not_run_has_no_log(api, tmp_path):
    api.objects.reads.put("pods", pod(ready=False, fetch=waiting("ImagePullBackOff", "Back-off pulling")))

    (found,) = await ask(api, tmp_path, "n1")

    assert not [request for request in api.requests if "/log" in request.path]
    assert ["pod web-n1: container prefetch does not start: ImagePullBackOff: Back-off pulling"] == list(
        found.obstacles
    )


async def test_the_state_of_the_node_is_in_the_way(api, aggregator, tmp_path):
    """Disk pressure, a gate that is closed, and a startup taint that only this installation removes."""
    submit(aggregator, *events_of_a_failed_run())
    api.objects.reads.put("daemonsets", daemon_set(arguments=["--remove-taint=example.com/cold:NoSchedule"]))
    known = node(label=None)
    known["spec"] = {
        "taints": [
            {"key": "example.com/cold", "effect": "NoSchedule"},
            {"key": "example.com/other", "effect": "NoSchedule"},
        ]
    }
    since = "2026-01-01T00:00:00Z"
    known["status"] = {
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "MemoryPressure", "status": "False"},
            {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure", "lastTransitionTime": since},
            {"type": "nodeprefetch.io/web", "status": "False", "reason": "PullFailed", "message": "1 image missing"},
            {"type": "nodeprefetch.io/other", "status": "False", "reason": "PullFailed"},
        ]
    }
    api.objects.reads.put("nodes", known)

    (found,) = await ask(api, tmp_path, "n1")

    assert [
        f"node condition DiskPressure is True since {since}: KubeletHasDiskPressure",
        "node condition nodeprefetch.io/web is False: PullFailed: 1 image missing",
        "the startup taint example.com/cold:NoSchedule is still on the node",
    ] == list(found.obstacles[1:])


async def test_a_node_that_must_not_be_read_is_a_note(api, aggregator, tmp_path):
    submit(aggregator, *events_of_a_failed_run())
    api.objects.reads.forbidden |= {"get nodes", "list nodes"}

    (found,) = await ask(api, tmp_path, "n1")

    assert [SECOND] == [each.image for each in found.images]
    assert any("auth can-i get nodes/n1" in note for note in found.notes)


async def test_a_warm_node_is_said_to_be_warm(api, aggregator, tmp_path):
    api.objects.reads.put("pods", pod())
    start, present, *_ = events_of_a_failed_run()
    other = msgspec.structs.replace(present, image=SECOND)
    end = RunFinished(at=AT, run_id="run-1", end=RunEnd.FINISHED, succeeded=0, present=2, failed=0, elapsed=1.0)
    submit(aggregator, start, present, other, end)

    (found,) = await ask(api, tmp_path, "n1")

    assert (NodeState.WARM, (), (), ()) == (found.state, found.images, found.obstacles, found.log)


async def test_an_older_list_is_named(api, aggregator, tmp_path):
    submit(aggregator, *events_of_a_failed_run())
    api.objects.reads.put("configmaps", config_map(["quay.io/team/new:1"]))
    api.objects.reads.put("pods", pod())

    (found,) = await ask(api, tmp_path, "n1")

    assert NodeState.WARM is not found.state
    assert "n1 is not warm for web in namespace infra: has not reported the list of now yet" == found.summary


async def test_while_others_pull_a_node_waits_for_its_ticket(api, aggregator, tmp_path):
    api.objects.reads.put("pods", pod(ready=False, fetch=RUNNING))
    start, *_ = events_of_a_failed_run()
    submit(aggregator, start)
    proxied = api.objects.reads.services[AGGREGATOR]

    def with_tickets(path: str) -> tuple[int, Any]:
        status, body = proxied(path)
        answer = json.loads(body)
        if path.startswith("/v1/status"):
            answer["tickets"] = {"web": {"waiting": 12, "pulling": 5, "warm": 0, "limit": 5}}
        return status, answer

    api.objects.reads.services[AGGREGATOR] = with_tickets

    (found,) = await ask(api, tmp_path, "n1")

    assert "12 nodes wait for a ticket while 5 pull" in found.obstacles
    assert {"waits for its turn"} == {each.next_step for each in found.images}


async def test_every_installation_with_a_pod_on_the_node_is_examined(api, tmp_path):
    reads = api.objects.reads
    for name in ("api", "zoo"):
        reads.put("daemonsets", daemon_set(name))
        reads.put("configmaps", config_map(["quay.io/team/c:1"], name))
        reads.put(
            "pods", pod("n1" if name == "zoo" else "n2", name=name, ready=False, fetch=waiting("PodInitializing"))
        )

    assert ["web", "zoo"] == [each.name for each in await ask(api, tmp_path, "n1")]
    assert ["zoo"] == [each.name for each in await ask(api, tmp_path, "n1", name="zoo")]
    assert ["zoo"] == [each.name for each in await ask(api, tmp_path, "n1", "c")]
    assert ["api"] == [each.name for each in await ask(api, tmp_path, "n1", name="api")]


async def test_an_installation_without_a_pod_on_the_node_says_so(api, tmp_path):
    api.objects.reads.put("nodes", node("n2", label=None))

    (found,) = await ask(api, tmp_path, "n2")

    assert (NodeState.UNSEEN, "n2 is not warm for web in namespace infra: it has no pod on this node") == (
        found.state,
        found.summary,
    )


async def test_labels_and_taints_say_why_a_node_has_no_pod(api, tmp_path):
    known = daemon_set()
    known["spec"]["template"]["spec"] |= {
        "nodeSelector": {"kubernetes.io/os": "linux", "pool": "gpu", "zone": "a"},
        "tolerations": [
            {"key": "tolerated", "operator": "Exists"},
            {"key": "equal", "value": "yes", "effect": "NoSchedule"},
        ],
    }
    api.objects.reads.put("daemonsets", known)
    cold = node("n2", label=None)
    cold["metadata"]["labels"] = {"kubernetes.io/os": "linux", "pool": "cpu"}
    taints = [
        ("tolerated", "", "NoExecute"),
        ("equal", "yes", "NoSchedule"),
        ("equal", "no", "NoSchedule"),
        ("equal", "yes", "NoExecute"),
        ("soft", "", "PreferNoSchedule"),
        ("node.kubernetes.io/unschedulable", "", "NoSchedule"),
    ]
    cold["spec"] = {"taints": [{"key": key, "value": value, "effect": effect} for key, value, effect in taints]}
    api.objects.reads.put("nodes", cold)

    (found,) = await ask(api, tmp_path, "n2")

    assert [
        "the DaemonSet selects nodes with pool=gpu; the node has pool=cpu",
        "the DaemonSet selects nodes with zone=a; the node does not have that label",
        "the DaemonSet does not tolerate the node's taint equal=no:NoSchedule",
        "the DaemonSet does not tolerate the node's taint equal=yes:NoExecute",
    ] == list(found.obstacles)


async def test_an_unknown_node_is_refused_with_similar_names(api, tmp_path):
    for name in ("pool-a-1", "pool-a-2", "n2"):
        api.objects.reads.put("nodes", node(name, label=None))

    error = await refused(api, tmp_path, "pool-a-3")

    assert isinstance(error, UsageError)
    assert 'node "pool-a-3" not found (similar names: "pool-a-2", "pool-a-1")' == str(error)


async def test_an_unknown_image_is_refused_with_the_most_similar_first(api, aggregator, tmp_path):
    error = await refused(api, tmp_path, "n1", "team/bb:2")

    assert isinstance(error, UsageError)
    assert f'image "team/bb:2" is not in the list of web; it has "{SECOND}", "{FIRST}"' == str(error)


async def test_an_ambiguous_image_is_refused(api, tmp_path):
    api.objects.reads.put("configmaps", config_map(["quay.io/a/app:1", "quay.io/b/app:1"]))

    assert 'image "app" is ambiguous: "quay.io/a/app:1", "quay.io/b/app:1"' == str(
        await refused(api, tmp_path, "n1", "app")
    )


async def test_without_the_right_to_list_pods_there_is_no_answer(api, tmp_path):
    api.objects.reads.forbidden.add("list pods infra")

    error = await refused(api, tmp_path, "n1")

    assert isinstance(error, NoAccessError)
    assert error.check.endswith("auth can-i list pods -n infra")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[AggregatorProgram]:
    with AggregatorProgram(tmp_path, keeps=False) as running:
        yield running


def command(api: FakeKube, directory: Path, *arguments: str) -> tuple[int, str, str]:
    path = api.write_kubeconfig(directory)
    words = [sys.executable, "-m", "nodeprefetch", "why", *arguments, f"--kubeconfig={path}"]
    done = run(words, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_the_command_answers_from_an_aggregator_in_another_process(api, program, tmp_path):
    connection = http.client.HTTPConnection("127.0.0.1", program.http_port)
    connection.request("POST", "/v1/events", body_of(*events_of_a_failed_run()), HEADERS)
    assert 200 == connection.getresponse().status
    connection.close()
    url = f"http://127.0.0.1:{program.http_port}"

    code, output, errors = command(api, tmp_path, "n1", f"--aggregator={url}")

    assert (0, "") == (code, errors)
    lines = output.splitlines()
    assert lines[0].startswith("n1 is not warm for web in namespace infra: ")
    assert f"from: aggregator at {url}" == lines[1]
    assert f"{SECOND}: failed (permanent/not_found)" in lines
    assert "    manifest unknown" in lines
    assert "what to do:" in lines


def test_the_command_writes_json(api, tmp_path):
    code, output, _ = command(api, tmp_path, "n1", "--output=json")

    (found,) = json.loads(output)
    assert (0, "n1", "infra", "web") == (code, found["node"], found["namespace"], found["name"])


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 2, 'nodeprefetch: node "nowhere" not found (the nodes are "n1")\n'),
        (["n1", "zzz"], 2, 'nodeprefetch: image "zzz" is not in the list of web; it has '),
        ([], 2, "NODE"),
        (["n1", "--namespace=locked"], 3, "auth can-i list daemonsets.apps -n locked\n"),
    ],
)
def test_exit_codes(api, tmp_path, arguments: list[str], code: int, text: str):
    api.objects.reads.forbidden.add("list daemonsets locked")

    returned, output, errors = command(api, tmp_path, *arguments)

    assert (code, "") == (returned, output)
    assert text in errors
