"""Classes of faults: every observed text of every runtime, and that nobody else's words decide."""

import json
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.runtime.errors import Fault, FaultClass, RuntimeFaultError, classify
from nodeprefetch.text.known_secrets import knowing_secrets, remember_secrets
from nodeprefetch.values.image_ref import ImageRef

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "pull-errors.json").read_text("utf-8"))
"""Texts with blanks to fill in: names as the image has them, and what a server says."""

DIGEST = "sha256:" + "3b" * 32
MIRRORS = "(Mirrors also failed: "
MESSAGE = "access to this is not for you"

HOSTILE_NAMES = [
    "127.0.0.1:5000/no-space-left-on-device/403-forbidden:500",
    "registry.example.com/unauthorized/denied:manifest-unknown",
    "registry.example.com:443/x509/tls/eof:connection-refused",
    "503.example.com:503/not-found/no-such-host:429",
    f"registry.example.com/toomanyrequests/authorization-failed@{DIGEST}",
    "no-match-for-platform-in-manifest/unexpected-media-type:schema-1",
    "localhost:5000/server.misbehaving/lease.does.not.exist:unexpected-status--403",
]
HOSTILE_MESSAGES = [
    "denied: no space left on device",
    "write /data: no space left on device",
    ": no space left on device: unknown",
    "503 Service Unavailable",
    "unexpected status from HEAD request to https://x/: 500 Internal Server Error",
    "unexpected status code https://x/: 401 Unauthorized - Server message: denied",
    "manifest unknown; artifact err: no space left on device",
    "; artifact err: unauthorized",
    'Get "https://x/": EOF',
    "x509: certificate signed by unknown authority",
    'failed to parse image reference "x": invalid reference format',
    "server is not initialized yet",
    "no match for platform in manifest: not found",
    "no]): registry.example.com/team/app:1.2: no space left on device",
    "toomanyrequests: later\ndenied: never\nunexpected status: 404 Not Found",
    "dial tcp: lookup x: no such host",
    "",
]

names = st.builds(
    "{}/{}{}".format,
    st.sampled_from(
        ["", "docker.io", "quay.io", "127.0.0.1:5000", "localhost", "[::1]:500", "404.example.com:403"]
    ).filter(bool),
    st.from_regex(r"[a-z0-9]{1,8}((__|-{1,3}|\.|_|/)[a-z0-9]{1,8}){0,4}", fullmatch=True),
    st.one_of(
        st.just(""),
        st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
        st.just(f"@{DIGEST}"),
    ),
)
row_texts = st.sampled_from([row["text"] for row in ROWS])
messages = st.one_of(
    st.sampled_from(HOSTILE_MESSAGES),
    row_texts,
    st.text(max_size=60),
    st.text(alphabet=string.printable, max_size=60),
    st.tuples(st.text(max_size=10), row_texts, st.text(max_size=10)).map("".join),
)


def fill(template: str, *, image: str = "registry.example.com/team/app:1.2", message: str = MESSAGE) -> str:
    """The text as a runtime would give it for that image, with what that server said."""
    ref = ImageRef.parse(image)
    tag = ref.digest or ref.tag or "latest"
    host = f"https://{ref.domain}"
    values = {
        "ref": ref.pull_ref,
        "bad_ref": ref.pull_ref.upper(),
        "host": ref.domain,
        "dns_name": ref.domain.partition(":")[0] or "registry",
        "repo": ref.path,
        "tag": tag,
        "digest": DIGEST,
        "url": f"{host}/v2/{ref.path}/manifests/{tag}",
        "blob_url": f"{host}/v2/{ref.path}/blobs/{DIGEST}",
        "token_url": f"{host}/token?scope=repository%3A{ref.path}%3Apull&service={ref.domain}",
        "file": "usr/share/403 Forbidden/archive",
        "message_quoted": message.replace("\\", "\\\\").replace('"', '\\"'),
        "message": message,
    }
    for name, value in values.items():  # the message last: what it holds is not filled in again
        template = template.replace("{" + name + "}", value)
    return template


def expected(row: dict[str, Any]) -> Fault:
    """The class that stands in the table."""
    return Fault(
        kind=FaultClass(row["kind"]),
        reason=row["reason"],
        missing=row["missing"],
        retries=row["retries"],
        patience=row.get("patience"),
        discards_partial=row.get("discards_partial", False),
        throttles=row.get("throttles", False),
    )


def allowed(row: dict[str, Any], message: str) -> list[Fault]:
    """And nothing is concluded where a message may have closed the bracket around the errors of mirrors."""
    is_ambiguous = MIRRORS in row["text"] and any(end in message for end in ("]): ", "; artifact err: "))
    return [expected(row), Fault(kind=FaultClass.PASSING, reason="unknown")] if is_ambiguous else [expected(row)]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['runtime']}: {row['case']}" for row in ROWS])
def test_an_observed_error_has_its_class(row: dict[str, Any]) -> None:
    assert expected(row) == classify(row["code"], fill(row["text"]))


@pytest.mark.parametrize("image", HOSTILE_NAMES)
def test_the_name_of_the_image_does_not_decide(image: str) -> None:
    for row in ROWS:
        assert expected(row) == classify(row["code"], fill(row["text"], image=image)), row["case"]


@pytest.mark.parametrize("message", HOSTILE_MESSAGES)
def test_what_the_server_says_does_not_decide(message: str) -> None:
    for row in ROWS:
        assert classify(row["code"], fill(row["text"], message=message)) in allowed(row, message), row["case"]


@given(row=st.sampled_from(ROWS), image=names, message=messages)
def test_no_name_and_no_message_changes_a_class(row: dict[str, Any], image: str, message: str) -> None:
    assert classify(row["code"], fill(row["text"], image=image, message=message)) in allowed(row, message)


@given(code=st.sampled_from(sorted({row["code"] for row in ROWS})), text=st.one_of(messages, st.binary()))
def test_every_text_has_some_class(code: str, text: str | bytes) -> None:
    assert isinstance(classify(code, str(text)), Fault)


@pytest.mark.parametrize("code", ["CANCELLED", "DEADLINE_EXCEEDED"])
def test_a_cut_call_passes_whatever_its_text_says(code: str) -> None:
    assert FaultClass.PASSING is classify(code, fill(ROWS[0]["text"])).kind


def test_a_code_we_never_heard_of_passes() -> None:
    assert Fault(kind=FaultClass.PASSING, reason="unknown") == classify("HAPPY", "")


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ("408 Request Timeout", Fault(kind=FaultClass.PASSING, reason="timeout")),
        ("425 Too Early", Fault(kind=FaultClass.PASSING, reason="rate_limited", throttles=True)),
        ("503", Fault(kind=FaultClass.PASSING, reason="server_error", throttles=True)),
        ("500", Fault(kind=FaultClass.PASSING, reason="server_error")),
        ("418 I'm a teapot", Fault(kind=FaultClass.PERMANENT, reason="client_error")),
        ("404 Not Found", Fault(kind=FaultClass.PERMANENT, reason="not_found", missing=True)),
        ("302 Found", Fault(kind=FaultClass.PASSING, reason="unknown")),
        ("403", Fault(kind=FaultClass.REFUSED, reason="denied")),
        ("403 no space left on device", Fault(kind=FaultClass.REFUSED, reason="denied")),
    ],
)
def test_the_number_of_an_http_status_decides_and_not_its_words(status: str, fault: Fault) -> None:
    text = fill('failed to pull and unpack image "{ref}": failed to resolve image: unexpected status from GET ')
    assert fault == classify("UNKNOWN", f"{text}request to https://x/: {status}")


P = 'failed to pull and unpack image "q.io/a:1": '
R = P + "failed to resolve image: "
HEAD = R + 'failed to do request: Head "https://q.io/v2/": '
READING = "initializing source docker://q.io/a:1: reading manifest 1 in q.io/a: "
REST = "\nexhausting input failed (error: EOF: "
LAYER = P + "failed to extract layer sha256:3b: mount callback failed on /m: "


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        # containerd, in states and versions that are not in the table
        (R + "unexpected status code [manifests v1]: 403 Forbidden", "refused", "denied"),
        (R + "authorization failed", "refused", "unauthorized"),
        (R + "no basic auth credentials", "refused", "unauthorized"),
        (P + "failed to copy: ref layer-sha256:3b locked for 1s: unavailable", "passing", "locked"),
        (P + 'failed commit on ref "l": unexpected commit size 1, expected 2: x', "passing", "bad_digest"),
        (P + 'failed commit on ref "l": commit failed: rename /a: no space left on device', "no-space", "no_space"),
        (P + "failed to copy: write /a: disk quota exceeded", "no-space", "no_space"),
        (P + "failed to copy: write tcp 1->2: write: broken pipe", "passing", "connection"),
        (P + "failed to copy: read tcp 1->2: read: i/o timeout", "passing", "timeout"),
        (P + "failed to copy: stream error: stream ID 1; INTERNAL_ERROR", "passing", "connection"),
        (P + "failed to copy: http2: server sent GOAWAY", "passing", "connection"),
        (P + "failed to copy: unexpected EOF", "passing", "connection"),
        (P + "failed to copy: context canceled", "passing", "timeout"),
        (P + "something new: not found", "passing", "store_damaged"),
        (
            P + "failed to copy: httpReadSeeker: failed open: content at h not found: not found",
            "passing",
            "blob_missing",
        ),
        (R + "something new: not found", "passing", "unknown"),  # the registry's, or not: the code decides
        (P + "snapshot 12 does not exist: not found", "passing", "content_gone"),
        (LAYER + "gzip: invalid header", "permanent", "bad_layer"),
        (LAYER + "gzip: invalid checksum: unknown", "permanent", "bad_layer"),
        (LAYER + "unexpected EOF", "permanent", "bad_layer"),
        (LAYER + "write /a: disk quota exceeded: unknown", "no-space", "no_space"),
        (LAYER + "operation not permitted", "passing", "unknown"),
        (HEAD + "remote error: tls: handshake failure", "permanent", "tls"),
        (HEAD + "local error: tls: bad record MAC", "passing", "connection"),
        (
            HEAD + r'net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03"',
            "permanent",
            "tls",
        ),
        (HEAD + "context deadline exceeded", "passing", "timeout"),
        (HEAD + "net/http: timeout awaiting response headers", "passing", "timeout"),
        (HEAD + "dial tcp [::1]:443: connect: no route to host", "passing", "connection"),
        (HEAD + "proxyconnect tcp: dial tcp: lookup proxy: no such host", "passing", "dns"),
        (HEAD + "proxyconnect tcp: tls: first record does not look like a TLS handshake", "permanent", "tls"),
        (HEAD + "unexpected status: 403 Forbidden", "passing", "connection"),
        (HEAD + "no space left on device", "passing", "connection"),  # a proxy's words
        # CRI-O and what it is made of
        (READING + 'StatusCode: 503, "<html>401 Unauthorized"', "passing", "server_error"),
        (READING + "authentication required", "refused", "unauthorized"),
        (READING + "too many requests", "passing", "rate_limited"),
        (READING + "repository name not known to registry", "permanent", "not_found"),
        (READING + "tag invalid: no", "permanent", "client_error"),
        (READING + "unsupported: denied", "permanent", "client_error"),
        (READING + "unavailable: try later", "passing", "server_error"),
        (READING + "unknown: unauthorized: no space left on device", "passing", "unknown"),
        (READING + "deniedly new: no space left on device", "passing", "unknown"),
        (READING + "write /a: no space left on device", "passing", "unknown"),
        (READING + 'Get "https://q.io/": EOF', "passing", "connection"),
        (READING + "invalid character '<' looking for beginning of value", "passing", "not_a_registry"),
        (READING + "invalid character 'x' looking for beginning of value", "permanent", "bad_manifest"),
        ("Error " + READING + "manifest unknown", "permanent", "not_found"),
        (READING + "errors:\nunknown: no\nnew words: denied", "passing", "unknown"),
        (READING + "errors:", "passing", "unknown"),
        (MIRRORS + "[m/a:1: no]): q.io/a:1: " + READING + "denied", "refused", "denied"),
        (MIRRORS + "[m/a:1: no", "passing", "unknown"),
        (MIRRORS + "[m/a:1: x]): y: denied]): q.io/a:1: " + READING + "manifest unknown", "passing", "unknown"),
        (
            "unpacking failed (1; output: open /a: no space left on device)" + REST + "permission denied)",
            "passing",
            "unknown",
        ),
        ('copying config: Get "https://q.io/": Forbidden', "passing", "connection"),  # a proxy's word
        ("fetching blob: name unknown: no", "passing", "blob_missing"),
        ("RegistryUnavailable: denied", "passing", "connection"),
        ("unable to pull image: unknown: unauthorized: no", "passing", "unknown"),
        (READING + "read tcp 1->2: read: connection reset by peer", "passing", "connection"),
        ("fetching blob: read tcp 1->2: i/o timeout", "passing", "timeout"),
        ("Source image rejected: none", "permanent", "signature"),
        ("unable to pull image: denied: write /a: no space left on device", "refused", "denied"),
        ("trying to reuse blob sha256:3b at destination: unauthorized", "refused", "unauthorized"),
        (
            "trying to reuse blob sha256:3b at destination: checking whether a blob sha256:3b exists in q.io/a: denied",
            "refused",
            "denied",
        ),
        # Docker behind cri-dockerd
        ("Error response from daemon: manifest for q.io/a:1 not found: manifest unknown", "permanent", "not_found"),
        ("Error response from daemon: pull access denied for a, repository does not", "refused", "denied"),
        ("Error response from daemon: no matching manifest for linux/amd64 in the", "permanent", "no_platform"),
        ("Error response from daemon: toomanyrequests: You have reached", "passing", "rate_limited"),
        ('Error response from daemon: Get "https://q.io/v2/": EOF', "passing", "connection"),
        # wrapped once more by something new
        ('cannot pull "q.io/a: no": again: ' + READING + "denied", "refused", "denied"),
        ("cannot pull q.io/a: " + READING + "denied", "passing", "unknown"),
    ],
)
def test_what_the_pieces_are_known_to_say_is_understood(text: str, kind: str, reason: str) -> None:
    fault = classify("UNKNOWN", text)

    assert (kind, reason) == (fault.kind.value, fault.reason)


GET = (
    P + "failed to copy: httpReadSeeker: failed open: unexpected status code https://h/v2/a/manifests/sha256:3b: "
    "429 Too Many Requests - Server message: toomanyrequests: "
)
GET_2 = R + "unexpected status from GET request to https://h/v2/a/manifests/1: 429 Too Many Requests\ntoomanyrequests: "


@pytest.mark.parametrize("begin", [GET, GET_2, READING + "toomanyrequests: ", "fetching blob: toomanyrequests: "])
@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("retry-after: 880.092µs, allowed: 44000/minute", 880.092e-6),
        ("retry-after: 1m1.5s, allowed: 44000/minute", 61.5),
        ("Retry-After: 30", 30),
        ("slow down, retry after 30 seconds.", 30),
        ("slow down, retry after 30s.", 30),
        ("please try again in 5 minutes", 300),
        ("Too many requests, try again in 2h", 7200),
        ('{"retryAfter": "10"}', 10),
        ("try again in 90sec or so", 90),
        ("retry after 999999999 hours", 30 * 24 * 3600),
        ("retry-after: 2540400h0m0s", 30 * 24 * 3600),
        ("Rate exceeded", 0),
        ("Quota exceeded for quota metric 'Requests per project per region per minute'", 0),
        ("Too many requests. Please visit https://aka.ms/acr/skus#sku-feature-matrix to view limits", 0),
        ("retry later, in 30 seconds there may be quota", 0),
        ("", 0),
    ],
)
def test_a_registry_that_throttles_is_listened_to_about_when_to_come_back(begin: str, message: str, seconds: float):
    fault = classify("UNKNOWN", begin + message)

    assert Fault(kind=FaultClass.PASSING, reason="rate_limited", throttles=True, retry_after=seconds) == fault


@pytest.mark.parametrize(
    "begin", [GET, GET_2, READING + "toomanyrequests: ", "Error response from daemon: toomanyrequests: "]
)
@pytest.mark.parametrize("whose", ["", "unauthenticated "])
def test_the_pull_limit_of_docker_hub_is_of_an_account_and_lasts_six_hours(begin: str, whose: str):
    fault = classify("UNKNOWN", f"{begin}You have reached your {whose}pull rate limit. https://www.docker.com/x")

    assert (True, True, 6 * 3600) == (fault.throttles, fault.is_of_account, fault.retry_after)


@pytest.mark.parametrize("text", [GET.replace("429", "500") + "retry-after: 30", P + "failed to copy: retry-after: 30"])
def test_nobody_else_is_listened_to_about_when_to_come_back(text: str):
    assert 0 == classify("UNKNOWN", text).retry_after


def test_a_chain_without_end_is_given_up() -> None:
    assert "unknown" == classify("UNKNOWN", "failed to copy: " * 60 + "unexpected EOF").reason


def test_a_file_in_a_layer_cannot_feign_a_full_disk() -> None:
    text = fill(
        'failed to pull and unpack image "{ref}": failed to extract layer {digest}: mount callback failed on /m: '
    )
    assert "unknown" == classify("UNKNOWN", text + "write /a: no space left on device: permission denied").reason


def test_the_image_s_own_error_comes_before_that_of_the_artifact() -> None:
    text = "unable to pull image or OCI artifact: pull image err: reading manifest 1 in h/r: denied; artifact err: x"
    assert FaultClass.REFUSED is classify("UNKNOWN", text + ": no space left on device").kind


@pytest.mark.parametrize(
    "piece",
    [
        "failed to copy: ",
        "a",
        "unexpected status from GET request to ",
        '"',
        "\\",
        'Get "x": ',
        "plain words: ",
        "content ",
        ": ",
        "; artifact err: ",
        "]): a: ",
        "a\n",
        "(Mirrors also failed: [",
        'failed commit on ref "a": ',
        "adding layer with blob ",
        "no space left on device",
        "\n",
    ],
)
def test_a_long_text_takes_no_time(piece: str) -> None:
    for start in (
        "",
        'failed to pull and unpack image "',
        "reading manifest ",
        "failed to extract layer ",
        "errors:\n",
        MIRRORS + "[",
    ):
        text = start + piece * (50_000 // len(piece))
        begun = time.process_time()

        with knowing_secrets():
            remember_secrets(["hunter2hunter2"])
            RuntimeFaultError.from_status("UNKNOWN", text, image="a")

        assert time.process_time() - begun < 1.2, start  # of CPU; linear: 0.03 s; quadratic: many seconds


def test_an_error_carries_class_code_and_image_and_hides_secrets() -> None:
    with knowing_secrets():
        remember_secrets(["hunter22"])
        error = RuntimeFaultError.from_status("UNKNOWN", 'invalid decoded auth: "joe"\nand hunter22', image="quay.io/a")

    assert "bad_credential" == error.fault.reason
    assert "UNKNOWN" == error.code
    assert "quay.io/a" == error.image
    assert 'invalid decoded auth: "***" | and ***' == str(error)


def test_an_error_without_text_says_so() -> None:
    assert "the runtime returned an empty error" == str(RuntimeFaultError.from_status("UNKNOWN", ""))


@pytest.mark.parametrize(
    ("make", "kind", "reason", "retries"),
    [
        (RuntimeFaultError.gone, FaultClass.RUNTIME_GONE, "runtime_gone", None),
        (RuntimeFaultError.reset, FaultClass.PASSING, "stream_reset", None),
        (RuntimeFaultError.protocol, FaultClass.PASSING, "protocol", 3),
    ],
)
def test_an_error_without_an_answer_has_its_class_too(
    make: Callable[..., RuntimeFaultError], kind: FaultClass, reason: str, retries: int | None
) -> None:
    error = make("what happened", image="a")

    assert Fault(kind=kind, reason=reason, retries=retries) == error.fault
    assert ("what happened", "", "a") == (str(error), error.code, error.image)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("layer not known\n", "layer not known (the storage of the container runtime on this node is damaged: "),
        ("invalid character '<' looking", "invalid character '<' looking (not a registry's answer: check for "),
        (
            HEAD + "x509: certificate has expired or is not yet valid: current time 1 is before 2",
            "2 (the clock of this ",
        ),
    ],
)
def test_an_error_says_what_to_do_where_its_text_misleads(text: str, shown: str) -> None:
    assert shown in str(RuntimeFaultError.from_status("UNKNOWN", text))
