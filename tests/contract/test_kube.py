"""The Kubernetes API through the real client, over real HTTPS, against a fake API server."""

import gzip
import json
from pathlib import Path

import pytest
import trio

from nodeprefetch.kube import (
    Condition,
    ConflictError,
    ForbiddenError,
    InvalidError,
    Kube,
    KubeError,
    NodeEvent,
    NotFoundError,
    PassingKubeError,
    ServerFailedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnreachableError,
    connect,
)
from nodeprefetch.kube.objects import NODE_NAME_EXTRA
from tests.support.fake_kube import CLOSE, STALL, Failure, FakeKube
from tests.support.kube_objects import ReviewedToken
from tests.support.patience import eventually

TOKEN = "service-account-token"


@pytest.fixture
def api():
    with FakeKube() as running:
        running.add_node("n1", {"kubernetes.io/os": "linux", "x.io/old": "1"}, {"a.io/note": "kept"})
        yield running


async def connect_in_pod(api: FakeKube, mount: Path, **more: str) -> Kube:
    api.write_service_account(mount)
    return await connect(environment={**api.environment, **more}, mount=mount)


async def test_a_node_is_read_with_the_service_accounts_token(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)

    node = await kube.get_node("n1")

    assert ("n1", {"kubernetes.io/os": "linux", "x.io/old": "1"}, {"a.io/note": "kept"}) == (
        node.name,
        node.labels,
        node.annotations,
    )
    assert [("GET", "/api/v1/nodes/n1", TOKEN, "")] == [
        (each.method, each.path, each.token, each.user) for each in api.requests
    ]


async def test_one_merge_patch_sets_and_takes_away_and_leaves_the_rest(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)

    node = await kube.patch_node("n1", labels={"x.io/new": "2", "x.io/old": None}, annotations={"x.io/s": "{}"})

    assert {"kubernetes.io/os": "linux", "x.io/new": "2"} == api.labels("n1") == node.labels
    assert {"a.io/note": "kept", "x.io/s": "{}"} == api.annotations("n1") == node.annotations
    assert [("PATCH", "application/merge-patch+json")] == [(each.method, each.content_type) for each in api.requests]


async def test_as_the_node_only_requests_about_it_name_its_user(api, tmp_path):
    """Everything else is done with the service account's own rights; nodes may not change their own taints."""
    api.objects.daemon_sets["prefetch", "web"] = 1
    api.write_service_account(tmp_path)
    kube = await connect(environment=api.environment, mount=tmp_path, as_node=True)

    await kube.get_node("n1")
    await kube.patch_node("n1", labels={"x.io/new": "2"})
    await kube.count_nodes_of("prefetch", "web")
    await kube.review_token("token", "audience")
    await kube.remove_taints(await kube.get_node("n1"), [])

    assert ["system:node:n1", "system:node:n1", "", "", "system:node:n1", ""] == [each.user for each in api.requests]


async def test_a_node_with_a_name_that_no_header_can_carry(api, tmp_path):
    api.write_service_account(tmp_path)
    kube = await connect(environment=api.environment, mount=tmp_path, as_node=True)

    with pytest.raises(KubeError, match="the user name contains characters that an HTTP header cannot carry"):
        await kube.get_node("n1\r\nX: y")

    assert not api.requests


TAINTS = [
    {"key": "a", "effect": "NoSchedule"},
    {"key": "b", "effect": "NoExecute", "value": "x", "timeAdded": "2026-01-31T12:00:00Z", "newer": {"field": 1}},
    {"key": "c", "effect": "NoSchedule"},
]


@pytest.mark.parametrize("removed", ["a", "b", "ac", "abc"])
async def test_taints_are_removed_and_the_others_stay_as_they_are(api, tmp_path, removed):
    api.objects.set_taints("n1", TAINTS)
    kube = await connect_in_pod(api, tmp_path)
    node = await kube.get_node("n1")

    after = await kube.remove_taints(node, [taint for taint in node.taints if taint.key in removed])

    assert ["a:NoSchedule", "b=x:NoExecute", "c:NoSchedule"] == list(map(str, node.taints))
    assert [each for each in TAINTS if each["key"] not in removed] == api.objects.taints("n1")
    assert api.objects.taints("n1") == [taint.fields for taint in after.taints]


async def test_no_taint_is_removed_once_another_is_at_its_place(api, tmp_path):
    api.objects.set_taints("n1", TAINTS)
    kube = await connect_in_pod(api, tmp_path)
    node = await kube.get_node("n1")
    api.objects.set_taints("n1", TAINTS[1:])

    with pytest.raises(InvalidError, match="removing taints of node n1: 422"):
        await kube.remove_taints(node, [node.taints[0], node.taints[2]])

    assert TAINTS[1:] == api.objects.taints("n1")


READY = {"type": "Ready", "status": "True", "lastHeartbeatTime": None}


async def test_a_condition_is_set_and_the_others_stay(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.set_conditions("n1", [READY, {"type": "x.io/web", "status": "False", "reason": "Pulling"}])
    before = await kube.get_node("n1")
    condition = Condition(
        type="x.io/web",
        status="True",
        reason="ImagesPresent",
        message="1 image present",
        last_heartbeat_time="2026-01-31T12:00:00Z",
        last_transition_time="2026-01-31T11:00:00Z",
    )

    after = await kube.patch_node_condition("n1", condition)

    assert (Condition(type="x.io/web", status="False", reason="Pulling"), condition) == (
        before.condition("x.io/web"),
        after.condition("x.io/web"),
    )
    assert {
        "Ready": READY,
        "x.io/web": {
            "type": "x.io/web",
            "status": "True",
            "reason": "ImagesPresent",
            "message": "1 image present",
            "lastHeartbeatTime": "2026-01-31T12:00:00Z",
            "lastTransitionTime": "2026-01-31T11:00:00Z",
        },
    } == api.conditions("n1")


async def test_a_condition_for_one_version_conflicts_with_every_other(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    node = await kube.get_node("n1")
    api.objects.touch("n1")

    with pytest.raises(ConflictError, match="patching the status of node n1: 409: Operation cannot be fulfilled"):
        await kube.patch_node_condition(
            "n1", Condition(type="x.io/web", status="True"), resource_version=node.resource_version
        )

    assert {} == api.conditions("n1")


async def test_an_event_about_a_node_is_created_once(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    event = NodeEvent(
        name="n1.5f",
        node="n1",
        type="Warning",
        reason="ImagePrefetchFailed",
        message="web: 1 image missing",
        time="2026-01-31T12:00:00Z",
        reporter="web",
    )

    await kube.create_node_event(event)
    with pytest.raises(ConflictError, match=r'creating an event about node n1: 409: events "n1\.5f" already exists'):
        await kube.create_node_event(event)

    (created,) = api.events
    assert {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n1"} == created["involvedObject"]
    assert ("Warning", "ImagePrefetchFailed", 1) == (created["type"], created["reason"], created["count"])


async def test_the_nodes_of_a_daemon_set_are_counted(api, tmp_path):
    api.objects.daemon_sets["prefetch", "web"] = 1000
    kube = await connect_in_pod(api, tmp_path)

    assert 1000 == await kube.count_nodes_of("prefetch", "web")
    with pytest.raises(NotFoundError, match="reading DaemonSet other: 404"):
        await kube.count_nodes_of("prefetch", "other")


async def test_a_patch_of_one_version_conflicts_with_every_other(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    node = await kube.get_node("n1")
    api.objects.touch("n1")

    with pytest.raises(ConflictError, match="409"):
        await kube.patch_node("n1", labels={"x.io/old": None}, resource_version=node.resource_version)

    assert "1" == api.labels("n1")["x.io/old"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidError),
        (429, TooManyRequestsError),
        (500, ServerFailedError),
        (503, ServerFailedError),
    ],
)
async def test_each_status_has_its_error(api, tmp_path, status, kind):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=status))

    with pytest.raises(KubeError) as caught:
        await kube.get_node("n1")

    assert kind is type(caught.value)
    assert f"reading node n1: {status}: it was told to fail" == str(caught.value)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)])
async def test_seconds_to_wait_come_with_the_error_and_nobody_waits_unasked(api, tmp_path, header, seconds):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=429, headers={"Retry-After": header}))

    with pytest.raises(TooManyRequestsError) as caught:
        await kube.get_node("n1")

    assert seconds == caught.value.retry_after
    assert 1 == len(api.requests)


async def test_a_connection_that_is_closed_is_no_answer_and_not_tried_again_unseen(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(how=CLOSE))

    with pytest.raises(UnreachableError, match="reading node n1: "):
        await kube.get_node("n1")

    assert 1 == len(api.requests)


async def test_nobody_at_the_port_is_no_answer(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, KUBERNETES_SERVICE_PORT="1")

    with pytest.raises(UnreachableError, match="refused"):
        await kube.get_node("n1")


async def test_a_cancelled_call_closes_its_connection_and_waits_for_no_thread(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(how=STALL))

    with pytest.raises(trio.TooSlowError), trio.fail_after(0.2):
        await kube.get_node("n1")

    assert 0 == trio.to_thread.current_default_thread_limiter().borrowed_tokens
    assert "n1" == (await kube.get_node("n1")).name
    assert await trio.to_thread.run_sync(eventually, lambda: 0 == api.connections)


async def test_silence_ends_a_call_after_30_seconds(api, tmp_path, autojump_clock):
    """If the caller has no deadline."""
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(how=STALL))
    began = trio.current_time()

    with pytest.raises(UnreachableError, match="reading node n1: no answer in 30s"):
        await kube.get_node("n1")

    assert 30 == trio.current_time() - began


@pytest.mark.parametrize(("kept", "accepted"), [(0, 2), (1, 1)])
async def test_connections_are_kept_for_those_who_want_that_until_they_are_closed(api, tmp_path, kept, accepted):
    api.write_service_account(tmp_path)
    kube = await connect(kept_connections=kept, environment=api.environment, mount=tmp_path)
    await kube.get_node("n1")
    await kube.get_node("n1")

    await kube.aclose()

    assert accepted == api.accepted
    assert await trio.to_thread.run_sync(eventually, lambda: 0 == api.connections)


async def test_calls_beyond_16_at_once_wait_for_a_connection(api, tmp_path):
    api.write_service_account(tmp_path)
    kube = await connect(kept_connections=16, environment=api.environment, mount=tmp_path)

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(kube.get_node, "n1")
    await kube.aclose()

    assert (40, True) == (len(api.requests), api.accepted <= 16)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[1]", b"\xff\xfe"])
async def test_an_answer_that_is_no_object_is_an_error_that_does_not_pass(api, tmp_path, body):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=200, body=body))

    with pytest.raises(KubeError, match="reading node n1: ") as caught:
        await kube.get_node("n1")

    assert not isinstance(caught.value, PassingKubeError)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"message": "the token service-account-token is bad"}', "the token *** is bad"),
        (b'{"message": "seen eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln here"}', "seen *** here"),
        (b"<html>\n<b>no</b>\x1b[2J", "<html> | <b>no</b>\\x1b[2J"),
        (b"[3]", "[3]"),
        (b'{"message": "' + 400 * b"x" + b'"}', 299 * "x" + "…"),
    ],
)
async def test_what_a_server_says_is_one_bounded_line_without_tokens(api, tmp_path, body, text):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=500, body=body))

    with pytest.raises(ServerFailedError) as caught:
        await kube.get_node("n1")

    assert f"reading node n1: 500: {text}" == str(caught.value)


async def test_a_reviewed_token_tells_whose_it_is_and_on_which_node(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.know_token(
        "pod-token",
        ReviewedToken(username="system:serviceaccount:a:b", audiences=("agg", "api"), node_name="n1"),
    )

    review = await kube.review_token("pod-token", "agg")

    assert (True, "system:serviceaccount:a:b", "n1", ("agg",), "") == (
        review.authenticated,
        review.username,
        review.node_name,
        review.audiences,
        review.error,
    )


async def test_a_token_bound_to_no_node_has_none(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.know_token("t-0001", ReviewedToken(username="me", audiences=("agg",)))

    assert "" == (await kube.review_token("t-0001", "agg")).node_name


async def test_an_unknown_token_is_not_authenticated_and_not_in_the_error(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)

    review = await kube.review_token("made-up", "agg")

    assert (False, "", "[invalid bearer token ***]") == (review.authenticated, review.username, review.error)


async def test_a_token_for_another_audience_is_not_authenticated(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.know_token("t-0001", ReviewedToken(username="me", audiences=("other",)))

    assert not (await kube.review_token("t-0001", "agg")).authenticated


async def test_a_server_that_does_not_look_at_audiences_has_not_authenticated(api, tmp_path):
    """https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/, `audiences`."""
    kube = await connect_in_pod(api, tmp_path)
    api.know_token("t-0001", ReviewedToken(username="me", audiences=("agg",), is_for_any_audience=True))

    review = await kube.review_token("t-0001", "agg")

    assert (False, "the token was not checked for the audience agg") == (review.authenticated, review.error)


def review_answer(**status):
    return json.dumps({"kind": "TokenReview", "status": status}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"status": 1}',
        review_answer(authenticated="yes"),
        review_answer(authenticated=True, audiences=5),
        review_answer(authenticated=True, audiences="agg"),
        review_answer(authenticated=True, user=[1]),
        review_answer(authenticated=True, user={"username": {}}),
        review_answer(authenticated=True, user={"extra": {NODE_NAME_EXTRA: {"0": "n1"}}}),
        review_answer(authenticated=True, user={"extra": {NODE_NAME_EXTRA: [7]}}),
        b'{"status": ' + 100_000 * b'{"status": ' + 100_001 * b"}",
        b'{"x": ' + 100_000 * b"[" + 100_000 * b"]" + b', "status": {}}',
        b'{"status": ' + 20_000 * b"9" + b"}",
    ],
    ids=range(13),
)
async def test_a_review_of_odd_types_is_an_error_of_ours(api, tmp_path, body):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=201, body=body))

    with pytest.raises(KubeError, match="reviewing a token: invalid answer: ") as caught:
        await kube.review_token("t-0001", "agg")

    assert not isinstance(caught.value, PassingKubeError)


async def test_a_refusal_nested_deeply_is_an_error_of_ours(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=500, body=100_000 * b'{"message": '))

    with pytest.raises(ServerFailedError, match="reviewing a token: 500: "):
        await kube.review_token("t-0001", "agg")


@pytest.mark.parametrize("status", [201, 500])
async def test_an_answer_is_read_up_to_its_limit_and_the_next_call_works(api, tmp_path, status):
    """Also a refusal's body. The server notices that the rest was not read."""
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=status, body=b'{"status": {}, "x": "' + (50 << 20) * b"x" + b'"}'))

    with pytest.raises(KubeError, match="reviewing a token: the answer is larger than 2097152 bytes"):
        await kube.review_token("t-0001", "agg")

    assert await trio.to_thread.run_sync(eventually, lambda: 1 == api.unread)
    assert "n1" == (await kube.get_node("n1")).name


async def test_a_compressed_answer_is_not_unpacked(api, tmp_path):
    """Nothing asks for one; a small one could become a large one."""
    kube = await connect_in_pod(api, tmp_path)
    api.fail(
        Failure(status=201, headers={"Content-Encoding": "gzip"}, body=gzip.compress(review_answer(authenticated=True)))
    )

    with pytest.raises(KubeError, match="invalid answer"):
        await kube.review_token("t-0001", "agg")
