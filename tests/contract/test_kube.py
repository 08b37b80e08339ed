"""The Kubernetes API through the real client, over real HTTPS, against a fake API server."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from nodeprefetch.kube import (
    ConflictError,
    ForbiddenError,
    Kube,
    KubeConfigError,
    KubeError,
    NotFoundError,
    NotInClusterError,
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
    assert [("GET", "/api/v1/nodes/n1", TOKEN)] == [(each.method, each.path, each.token) for each in api.requests]


async def test_one_merge_patch_sets_and_takes_away_and_leaves_the_rest(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)

    node = await kube.patch_node("n1", labels={"x.io/new": "2", "x.io/old": None}, annotations={"x.io/s": "{}"})

    assert {"kubernetes.io/os": "linux", "x.io/new": "2"} == api.labels("n1") == node.labels
    assert {"a.io/note": "kept", "x.io/s": "{}"} == api.annotations("n1") == node.annotations
    assert [("PATCH", "application/merge-patch+json")] == [(each.method, each.content_type) for each in api.requests]


async def test_a_patch_of_one_version_conflicts_with_every_other(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    node = await kube.get_node("n1")
    api.objects.touch("n1")

    with pytest.raises(ConflictError, match="409"):
        await kube.patch_node("n1", labels={"x.io/old": None}, resource_version=node.resource_version)

    assert "1" == api.labels("n1")["x.io/old"]


async def test_a_kubeconfig_leads_there_too(api, tmp_path):
    kube = await connect(str(api.write_kubeconfig(tmp_path)), environment={})

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_renewed_token_is_used_from_the_next_call_on(api, tmp_path):
    """Kubelets renew tokens long before they end; here the old one is refused at once."""
    kube = await connect_in_pod(api, tmp_path)
    await kube.get_node("n1")
    api.tokens[:] = ["renewed"]
    (tmp_path / "token").write_text("renewed\n")

    await kube.get_node("n1")

    assert [TOKEN, "renewed"] == [request.token for request in api.requests]


async def test_a_token_file_that_is_away_for_a_moment_leaves_the_last_token(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    (tmp_path / "token").unlink()

    await kube.get_node("n1")

    assert [TOKEN] == [request.token for request in api.requests]


async def test_a_token_that_no_header_can_carry_is_not_quoted(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    (tmp_path / "token").write_text("first\nsecond")

    with pytest.raises(KubeError) as caught:
        await kube.get_node("n1")

    assert "reading node n1: ValueError" == str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, KubeError),
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


async def test_a_server_of_another_authority_is_not_talked_to(api, tmp_path):
    api.write_service_account(tmp_path)
    with FakeKube() as other:
        kube = await connect(environment=other.environment, mount=tmp_path)

        with pytest.raises(UnreachableError, match="certificate verify failed"):
            await kube.get_node("n1")

        assert [] == other.requests


async def test_the_callers_deadline_ends_a_call_and_its_thread(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    await kube.get_node("n1")
    api.fail(Failure(how=STALL))

    with pytest.raises(trio.TooSlowError), trio.fail_after(0.2):
        await kube.get_node("n1")

    with trio.fail_after(300):
        while kube._threads.borrowed_tokens:  # noqa: ASYNC110 - the thread is not ours to be told by
            await trio.sleep(0.01)


async def test_a_thread_left_behind_does_not_hinder_the_next_call(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(how=STALL))
    with trio.move_on_after(0.2):
        await kube.get_node("n1")

    assert "n1" == (await kube.get_node("n1")).name


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


async def test_the_service_network_is_reached_past_the_proxy(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="127.0.0.0/8")

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_proxy_is_used_where_it_is_meant(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, HTTPS_PROXY="http://127.0.0.1:1")

    with pytest.raises(UnreachableError, match="proxy"):
        await kube.get_node("n1")


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
async def test_without_an_address_this_is_no_pod(api, tmp_path, missing):
    with pytest.raises(NotInClusterError, match="this is not a pod"):
        await connect_in_pod(api, tmp_path, **{missing: ""})


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
async def test_without_its_files_there_is_no_service_account(api, tmp_path, missing):
    api.write_service_account(tmp_path)
    (tmp_path / missing).unlink()

    with pytest.raises(NotInClusterError, match=r"No such file.*automountServiceAccountToken"):
        await connect(environment=api.environment, mount=tmp_path)


async def test_an_empty_token_is_no_service_account(api, tmp_path):
    api.write_service_account(tmp_path, token="\n")

    with pytest.raises(NotInClusterError, match="the token is empty"):
        await connect(environment=api.environment, mount=tmp_path)


async def test_an_ipv6_address_is_put_in_brackets(api, tmp_path):
    kube = await connect_in_pod(api, tmp_path, KUBERNETES_SERVICE_HOST="fd00::1")

    assert f"https://[fd00::1]:{api.port}" == kube._client.configuration.host


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KubeConfigError, match=r"kubeconfig .*/none cannot be read: No such file"):
        await connect(str(tmp_path / "none"))


@pytest.mark.parametrize("text", ["", "secret: [", "kind: Config", "\x00", "- 1"])
async def test_a_kubeconfig_that_is_none_is_named_and_not_quoted(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(KubeConfigError, match="cannot be used") as caught:
        await connect(str(path))

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


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
    """Also a refusal's body. The server notices that it was not all taken."""
    kube = await connect_in_pod(api, tmp_path)
    api.fail(Failure(status=status, body=b'{"status": {}, "x": "' + (50 << 20) * b"x" + b'"}'))

    with pytest.raises(KubeError, match="reviewing a token: the answer is larger than 2097152 bytes"):
        await kube.review_token("t-0001", "agg")

    assert "n1" == (await kube.get_node("n1")).name


async def test_a_compressed_answer_is_not_unpacked(api, tmp_path):
    """Nothing asks for one; a small one could become a large one."""
    kube = await connect_in_pod(api, tmp_path)
    api.fail(
        Failure(status=201, headers={"Content-Encoding": "gzip"}, body=gzip.compress(review_answer(authenticated=True)))
    )

    with pytest.raises(KubeError, match="invalid answer"):
        await kube.review_token("t-0001", "agg")


PROGRAM = """
import json, sys, resource
from pathlib import Path
import trio
from nodeprefetch.kube import connect
async def main():
    kube = await connect(environment={"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": sys.argv[2]},
                         mount=Path(sys.argv[1]))
    return (await kube.get_node("n1")).name
name = trio.run(main)
left = [name for name in sys.modules if name.startswith("kubernetes")]
import kubernetes
print(json.dumps([name, left, hasattr(kubernetes.client, "CoreV1Api")]))
"""


def run_program(api: FakeKube, mount: Path, before: str = "") -> object:
    api.write_service_account(mount)
    command = [sys.executable, "-c", before + PROGRAM, str(mount), str(api.port)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def test_the_generic_client_is_loaded_alone_and_leaves_no_half_package(api, tmp_path):
    assert ["n1", [], True] == run_program(api, tmp_path)


def test_a_kubeconfig_does_not_load_the_validator_of_manifests_which_others_find(api, tmp_path):
    """It takes a second where all that it can use is installed."""
    program = """
import sys, trio
from nodeprefetch.kube import connect
trio.run(connect, sys.argv[1])
before = "kubernetes_validate" in sys.modules
import kubernetes_validate
print(before, kubernetes_validate.__name__)
"""
    kubeconfig = api.write_kubeconfig(tmp_path / "config")

    done = subprocess.run([sys.executable, "-c", program, str(kubeconfig)], check=True, capture_output=True, text=True)

    assert "False kubernetes_validate\n" == done.stdout


def test_what_somebody_else_has_loaded_stays(api, tmp_path):
    name, left, _ = run_program(api, tmp_path, before="import kubernetes.client\n")

    assert "n1" == name
    assert "kubernetes.client.models" in left


async def test_the_main_thread_goes_on_while_the_client_is_loaded():
    program = """
import threading, sys
from pathlib import Path
import trio
import nodeprefetch.kube.client as client
seen = []
load = client._classes
client._classes = lambda: (seen.append(threading.current_thread() is threading.main_thread()), load())[1]
from nodeprefetch.kube import connect, NotInClusterError
async def main():
    try:
        await connect(sys.argv[1], environment={})
    except Exception as error:
        print(seen, type(error).__name__)
trio.run(main)
"""
    result = await trio.run_process([sys.executable, "-c", program, "/nowhere"], capture_stdout=True)

    assert b"[False] KubeConfigError\n" == result.stdout
