"""The fake registry, as HTTP clients see it."""

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request

import pytest
import trustme

from nodeprefetch.testing.images import make_image, make_index
from nodeprefetch.testing.registry import FakeRegistry, Fault, Quota
from nodeprefetch.testing.registry_quota import Turnstile

IMAGE = make_image((100_000, 200_000), seed="registry")
LAYER = IMAGE.layers[0]


@pytest.fixture
def registry(fake_registry: FakeRegistry) -> FakeRegistry:
    fake_registry.add("team/app:1", IMAGE)
    return fake_registry


def get(
    registry: FakeRegistry,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    context: ssl.SSLContext | None = None,
) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(registry.url + path, method=method, headers=headers or {}, data=body)
    try:
        with urllib.request.urlopen(request, context=context, timeout=300) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def layer_path() -> str:
    return f"/v2/team/app/blobs/{LAYER.digest}"


def port(registry: FakeRegistry) -> int:
    return int(registry.address.rpartition(":")[2])


def test_a_ping_is_answered(registry: FakeRegistry) -> None:
    assert (200, b"{}") == get(registry, "/v2/")[::2]


@pytest.mark.parametrize("reference", ["1", IMAGE.digest])
def test_a_manifest_is_served_by_tag_and_by_digest(registry: FakeRegistry, reference: str) -> None:
    status, headers, body = get(registry, f"/v2/team/app/manifests/{reference}")

    assert (200, IMAGE.manifest.data) == (status, body)
    assert IMAGE.digest == headers["Docker-Content-Digest"]
    assert "application/vnd.oci.image.manifest.v1+json" == headers["Content-Type"]


def test_a_head_has_the_length_and_no_body(registry: FakeRegistry) -> None:
    status, headers, body = get(registry, "/v2/team/app/manifests/1", method="HEAD")

    assert (200, b"") == (status, body)
    assert str(IMAGE.manifest.size) == headers["Content-Length"]


def test_an_index_is_served_with_its_manifests(registry: FakeRegistry) -> None:
    index = make_index([make_image(seed=1), make_image(seed=2, architecture="arm64")])
    registry.add("index:1", index)

    for manifest in index.manifests:
        assert manifest.data == get(registry, f"/v2/index/manifests/{manifest.digest}")[2]


def test_config_and_layers_are_served(registry: FakeRegistry) -> None:
    for blob in IMAGE.blobs:
        assert (200, blob.data) == get(registry, f"/v2/team/app/blobs/{blob.digest}")[::2]
    assert ["config", "layer", "layer"] == [request.stage for request in registry.requests]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/team/app/manifests/2", "MANIFEST_UNKNOWN"),
        ("/v2/other/manifests/1", "NAME_UNKNOWN"),
        (f"/v2/team/app/blobs/{IMAGE.digest}", "BLOB_UNKNOWN"),
        ("/v2/team/app/tags/list", "UNSUPPORTED"),
    ],
)
def test_what_is_not_there_is_not_found(registry: FakeRegistry, path: str, code: str) -> None:
    status, _, body = get(registry, path)

    assert (404, code) == (status, json.loads(body)["errors"][0]["code"])
    assert [404] == [request.status for request in registry.requests]


def test_nothing_can_be_pushed(registry: FakeRegistry) -> None:
    assert 404 == get(registry, "/v2/team/app/manifests/2", method="PUT", body=b"{}")[0]


def test_a_tag_that_moved_leaves_the_old_digest(registry: FakeRegistry) -> None:
    new = make_image(seed="new")
    registry.add("team/app:1", new)

    assert new.manifest.data == get(registry, "/v2/team/app/manifests/1")[2]
    assert IMAGE.manifest.data == get(registry, f"/v2/team/app/manifests/{IMAGE.digest}")[2]


def test_a_removed_image_is_gone(registry: FakeRegistry) -> None:
    registry.remove("team/app:1")

    assert 404 == get(registry, "/v2/team/app/manifests/1")[0]
    assert 404 == get(registry, f"/v2/team/app/manifests/{IMAGE.digest}")[0]


@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        ("bytes=100-", 206, 100, None),
        ("bytes=100-199", 206, 100, 200),
        ("bytes=0-999999999", 206, 0, None),
        ("lines=1-", 200, 0, None),
    ],
)
def test_a_range_is_served(registry: FakeRegistry, header: str, status: int, start: int, stop: int | None) -> None:
    assert (status, LAYER.data[start:stop]) == get(registry, layer_path(), headers={"Range": header})[::2]


def test_a_range_says_where_it_lies(registry: FakeRegistry) -> None:
    _, headers, _ = get(registry, layer_path(), headers={"Range": "bytes=100-"})

    assert f"bytes 100-{LAYER.size - 1}/{LAYER.size}" == headers["Content-Range"]
    assert "bytes=100-" == registry.requests[0].range


def test_a_range_beyond_the_end_is_refused(registry: FakeRegistry) -> None:
    assert 416 == get(registry, layer_path(), headers={"Range": f"bytes={LAYER.size}-"})[0]


def test_ranges_can_be_switched_off() -> None:
    with FakeRegistry(ranges=False) as registry:
        registry.add("team/app:1", IMAGE)

        assert (200, LAYER.data) == get(registry, layer_path(), headers={"Range": "bytes=100-"})[::2]


def test_parts_can_be_refused_while_whole_blobs_are_served(registry: FakeRegistry) -> None:
    registry.fail("layer", Fault.no_range(), Fault.no_range(400), image="team/app:1")

    answers = [get(registry, layer_path(), headers=headers)[0] for headers in ({}, *[{"Range": "bytes=1-"}] * 3)]

    assert [200, 416, 400, 206] == answers


def test_faults_come_in_order_and_then_all_is_well(registry: FakeRegistry) -> None:
    registry.fail("manifest", Fault.status(429, headers={"Retry-After": "1"}), Fault.none(), Fault.status(500))

    answers = [get(registry, "/v2/team/app/manifests/1") for _ in range(4)]

    assert [429, 200, 500, 200] == [status for status, _, _ in answers]
    assert "1" == answers[0][1]["Retry-After"]
    assert "TOOMANYREQUESTS" == json.loads(answers[0][2])["errors"][0]["code"]


def test_the_last_fault_can_stay_until_healed(registry: FakeRegistry) -> None:
    registry.fail("ping", Fault.status(503), Fault.status(500), forever=True)

    assert [503, 500, 500] == [get(registry, "/v2/")[0] for _ in range(3)]
    registry.heal()
    assert 200 == get(registry, "/v2/")[0]


def test_a_fault_can_be_of_one_image_and_layer(registry: FakeRegistry) -> None:
    registry.add("team/app:2", make_image((10,), seed="other"))
    registry.fail("manifest", Fault.status(403), image="team/app:1", forever=True)
    registry.fail("layer", Fault.status(503), image="team/app:1", layer=1, forever=True)
    registry.fail("config", Fault.status(404), image="team/app:2", forever=True)

    assert [403, 403, 200, 200, 503] == [
        get(registry, f"/v2/team/app/{path}")[0]
        for path in (
            "manifests/1",
            f"manifests/{IMAGE.digest}",
            "manifests/2",
            f"blobs/{LAYER.digest}",
            f"blobs/{IMAGE.layers[1].digest}",
        )
    ]
    assert 200 == get(registry, f"/v2/team/app/blobs/{IMAGE.config.digest}")[0]


def test_a_missing_image_can_be_forbidden_too(registry: FakeRegistry) -> None:
    registry.fail("manifest", Fault.status(403), image="none:1")

    assert [403, 404] == [get(registry, "/v2/none/manifests/1")[0] for _ in range(2)]


@pytest.mark.parametrize(
    ("image", "layer", "error"), [("none:1", 0, KeyError), ("team/app:1", 2, KeyError), ("app", 0, ValueError)]
)
def test_a_fault_of_nothing_is_an_error(registry: FakeRegistry, image: str, layer: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        registry.fail("layer", Fault.drop(), image=image, layer=layer)


def test_a_body_can_be_another_one(registry: FakeRegistry) -> None:
    registry.fail("manifest", Fault.status(200, headers={"Content-Type": "text/html"}, body=b"<p>Log in</p>"))

    _, headers, body = get(registry, "/v2/team/app/manifests/1")

    assert ("text/html", b"<p>Log in</p>") == (headers["Content-Type"], body)


def test_wrong_bytes_have_the_right_length(registry: FakeRegistry) -> None:
    registry.fail("layer", Fault.wrong_bytes())

    status, _, body = get(registry, layer_path())

    assert (200, LAYER.size) == (status, len(body))
    assert LAYER.data != body


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.drop(), http.client.RemoteDisconnected),
        (Fault.reset(), ConnectionResetError),
        (Fault.garbage(), http.client.BadStatusLine),
        (Fault.reset_after(50_000), ConnectionResetError),
        (Fault.drop_after(50_000), http.client.IncompleteRead),
    ],
)
def test_a_connection_breaks_as_told(registry: FakeRegistry, fault: Fault, error: type[Exception]) -> None:
    registry.fail("layer", fault)

    connection = http.client.HTTPConnection(registry.address, timeout=300)
    connection.request("GET", layer_path())
    with pytest.raises(error):
        connection.getresponse().read()
    connection.close()

    request = registry.requests[0]
    assert (fault.after or 0, False) == (request.bytes_sent, request.cut_by_client)


def test_a_slow_body_comes_at_its_rate(registry: FakeRegistry) -> None:
    registry.fail("layer", Fault.slow(1_000_000))  # 100 kB: 0.1 s

    started = time.monotonic()
    body = get(registry, layer_path())[2]

    assert LAYER.data == body
    assert 0.08 <= time.monotonic() - started


@pytest.mark.parametrize("fault", [Fault.stall(), Fault.stall_after(1000)])
def test_a_stalled_answer_goes_on_when_released(registry: FakeRegistry, fault: Fault) -> None:
    registry.fail("layer", fault)
    bodies = []
    client = threading.Thread(target=lambda: bodies.append(get(registry, layer_path())[2]))
    client.start()
    registry.requests.wait_until(lambda requests: len(requests) == 1)

    registry.release()
    client.join()

    assert [LAYER.data] == bodies


@pytest.mark.parametrize(("fault", "sent"), [(Fault.stall(), 0), (Fault.stall_after(1000), 1000)])
def test_a_client_that_leaves_a_stalled_answer_is_seen(registry: FakeRegistry, fault: Fault, sent: int) -> None:
    registry.fail("layer", fault)
    with socket.create_connection(("127.0.0.1", port(registry)), timeout=300) as client:
        client.sendall(f"GET {layer_path()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        registry.requests.wait_until(lambda requests: len(requests) == 1)
        received = b""
        while not received.endswith(LAYER.data[:sent]):
            received += client.recv(5000)

    request = registry.requests.wait_until(lambda requests: requests[0].ended is not None)[0]

    assert (sent, True) == (request.bytes_sent, request.cut_by_client)


def test_a_stalled_answer_does_not_hold_up_a_stop(registry: FakeRegistry) -> None:
    registry.fail("layer", Fault.stall())
    with socket.create_connection(("127.0.0.1", port(registry)), timeout=300) as client:
        client.sendall(f"GET {layer_path()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        registry.requests.wait_until(lambda requests: len(requests) == 1)

        registry.stop()

        assert b"" == client.recv(1)
    assert not registry.requests[0].cut_by_client


def test_a_stopped_registry_refuses_and_comes_back_on_its_port(registry: FakeRegistry) -> None:
    address = registry.address
    registry.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(registry, "/v2/")

    registry.start()
    registry.start()

    assert address == registry.address
    assert 200 == get(registry, "/v2/team/app/manifests/1")[0]


def test_a_tls_hello_is_answered_by_http(registry: FakeRegistry) -> None:
    """containerd from 2.0 on falls back to plain HTTP only after such an answer."""
    with socket.create_connection(("127.0.0.1", port(registry)), timeout=300) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")

        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_requests_are_recorded(registry: FakeRegistry) -> None:
    get(registry, "/v2/team/app/manifests/1", headers={"User-Agent": "me", "Authorization": "Basic YW5uOjE="})
    get(registry, layer_path())

    (request,) = registry.requests.of(stage="layer")
    assert ("GET", layer_path(), 200, LAYER.size) == (
        request.method,
        request.path,
        request.status,
        request.bytes_sent,
    )
    assert ("me", "ann") == (registry.requests[0].user_agent, registry.requests[0].user)
    registry.requests.clear()
    assert 0 == len(registry.requests)


def test_another_address_to_listen_on_and_the_clients_are_known() -> None:
    with FakeRegistry(bind="127.0.0.2") as registry:
        registry.add("team/app:1", IMAGE)

        assert 200 == get(registry, "/v2/team/app/manifests/1")[0]

        assert registry.address.startswith("127.0.0.2:")
        assert "127.0.0.1" == registry.requests[0].address


def test_waiting_for_a_request_that_does_not_come_ends(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeprefetch.testing.waiting._PATIENCE", 0.01)
    get(registry, "/v2/")

    with pytest.raises(TimeoutError, match="GET /v2/ 200"):
        registry.requests.wait_until(lambda requests: len(requests) == 2)


def test_basic_is_wanted_where_it_is_required(registry: FakeRegistry) -> None:
    registry.require_basic({"ann": "1"}, prefix="team")

    status, headers, _ = get(registry, "/v2/team/app/manifests/1")

    assert (401, 'Basic realm="fake registry"') == (status, headers["WWW-Authenticate"])
    assert 401 == get(registry, "/v2/")[0]
    assert 200 == get(registry, "/v2/team/app/manifests/1", headers={"Authorization": "Basic YW5uOjE="})[0]


@pytest.mark.parametrize("way", ["form", "query"])
def test_a_bearer_token_is_issued_and_honoured(registry: FakeRegistry, way: str) -> None:
    registry.require_bearer({"ann": "1"})
    challenge = get(registry, "/v2/team/app/manifests/1")[1]["WWW-Authenticate"]
    assert f'Bearer realm="{registry.url}/token"' in challenge

    if way == "form":
        form = b"grant_type=password&username=ann&password=1&scope=repository%3Ateam%2Fapp%3Apull"
        answer = get(registry, "/token", method="POST", body=form)
    else:
        path = "/token?scope=repository:team/app:pull"
        answer = get(registry, path, headers={"Authorization": "Basic YW5uOjE="})
    token = json.loads(answer[2])["token"]

    headers = {"Authorization": f"Bearer {token}"}
    assert 200 == get(registry, "/v2/team/app/manifests/1", headers=headers)[0]
    assert ["", "ann", "ann"] == [request.user for request in registry.requests]


def test_a_fault_waits_for_a_request_that_is_let_in(registry: FakeRegistry) -> None:
    registry.require_basic({"ann": "1"})
    registry.fail("manifest", Fault.status(500))
    authorized = {"Authorization": "Basic YW5uOjE="}

    assert 401 == get(registry, "/v2/team/app/manifests/1")[0]
    assert 500 == get(registry, "/v2/team/app/manifests/1", headers=authorized)[0]


def test_the_token_endpoint_can_fail_for_one_repository(registry: FakeRegistry) -> None:
    registry.require_bearer({"ann": "1"})
    registry.fail("token", Fault.status(503), image="team/app:1")

    paths = ["/token?scope=repository:other:pull", "/token?scope=repository:team/app:pull"]

    assert [200, 503] == [get(registry, path)[0] for path in paths]


def test_tls_is_spoken_when_asked_for() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    with FakeRegistry(tls=server) as registry:
        registry.add("team/app:1", IMAGE)
        assert (200, LAYER.data) == get(registry, layer_path(), context=client)[::2]

        with socket.create_connection(("127.0.0.1", port(registry)), timeout=300) as stalled_in_handshake:
            plain = http.client.HTTPConnection(registry.address, timeout=300)
            plain.request("GET", "/v2/")
            with pytest.raises((http.client.HTTPException, OSError)):
                plain.getresponse()
            plain.close()
            registry.stop()
            assert b"" == stalled_in_handshake.recv(1)


def test_an_error_of_its_own_is_shown(registry: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    registry._desk.exchange = None
    with pytest.raises(http.client.RemoteDisconnected):
        get(registry, "/v2/")
    registry.stop()

    assert "TypeError" in capsys.readouterr().err


def test_requests_beyond_a_quota_are_refused(registry: FakeRegistry) -> None:
    registry.limit(Quota.plain(rate=0.001, burst=2))

    answers = [get(registry, path) for path in ("/v2/", "/v2/team/app/manifests/1", layer_path(), "/v2/")]

    assert [200, 200, 429, 429] == [status for status, _, _ in answers]
    assert 900 < int(answers[2][1]["Retry-After"]) <= 1000
    assert 2 == len(registry.requests.of(status=429))
    registry.limit(None)
    assert 200 == get(registry, "/v2/")[0]


def test_a_quota_says_when_to_come_back_as_github_does(registry: FakeRegistry) -> None:
    registry.limit(Quota.github(rate=0.001, burst=0))

    (error,) = json.loads(get(registry, "/v2/")[2])["errors"]

    assert "TOOMANYREQUESTS" == error["code"]
    assert error["message"].startswith("retry-after: 16m")
    assert error["message"].endswith("allowed: 0/minute")


def test_docker_hub_limits_requests_for_manifests_alone(registry: FakeRegistry) -> None:
    registry.limit(Quota.docker_hub(1))
    path = "/v2/team/app/manifests/1"

    statuses = [get(registry, path, method=method)[0] for method in ("HEAD", "GET", "GET", "HEAD")]
    _, headers, body = get(registry, path)

    assert [200, 200, 429, 200] == statuses
    assert 200 == get(registry, layer_path())[0]
    assert "1;w=21600" == headers["ratelimit-limit"]
    assert b"You have reached your unauthenticated pull rate limit." in body


def test_a_quota_is_refilled_and_each_address_has_its_own() -> None:
    now = [0.0]
    turnstile = Turnstile(lambda: now[0])
    turnstile.set(Quota(rate=10, burst=2))

    def is_refused(address: str) -> bool:
        return turnstile.refusal(address, "GET", "layer") is not None

    assert [False, False, True] == [is_refused("a") for _ in range(3)]
    assert not is_refused("b")
    now[0] = 0.1
    assert [False, True] == [is_refused("a") for _ in range(2)]
    now[0] = 60
    assert [False, False, True] == [is_refused("a") for _ in range(3)]
