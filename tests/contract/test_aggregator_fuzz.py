"""Arbitrary bytes to both ways in: never a 5xx, never a row, never the end."""

import contextlib
import http.client
import json
import socket

import grpc
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeprefetch.aggregator.settings import Bounds
from tests.support.aggregator import on_any_port, running_aggregator

KINDS = st.sampled_from(["application/msgpack", "application/x-ndjson", "application/json", "text/plain", ""])
ENCODINGS = st.sampled_from(["", "gzip", "identity", "br"])
ROUNDS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def aggregator():
    with running_aggregator(on_any_port(bounds=Bounds(body=5000, body_time=0.5, idle_time=1.0))) as running:
        yield running
        assert b"[]" == running.ask("GET", "/metrics").body
        assert 200 == running.ask("GET", "/readyz").status


@given(body=st.binary(max_size=6000), kind=KINDS, encoding=ENCODINGS)
@ROUNDS
def test_arbitrary_bodies_are_refused(aggregator, body, kind, encoding):
    answer = aggregator.ask("POST", "/v1/events", body, {"content-type": kind, "content-encoding": encoding})

    # A body of empty lines has no batch in it: nothing to refuse.
    assert 400 <= answer.status < 500 or (200, b'{"accepted":0,"duplicates":0}') == (answer.status, answer.body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["run_id", "node", "version", "events", "event", "at", "image"]), inner)
    ),
    max_leaves=20,
)


@given(content=JSON)
@ROUNDS
def test_arbitrary_json_stores_no_result(aggregator, content):
    try:
        body = msgspec.msgpack.encode(content)
    except OverflowError:
        return
    answer = aggregator.ask("POST", "/v1/events", body, {"content-type": "application/msgpack"})

    assert answer.status < 500


@given(
    content=st.dictionaries(
        st.sampled_from(["node", "run_id", "state", "instance", "list_digest", "zone", "is_gated", "is_warm", "wait"]),
        st.text(max_size=5) | st.sampled_from(["waiting", "pulling", "done"]) | st.floats() | st.booleans() | st.none(),
    ),
)
@ROUNDS
def test_arbitrary_requests_for_tickets_are_answered(aggregator, content):
    """Without a limit, at once."""
    answer = aggregator.ask("POST", "/v1/tickets", json.dumps(content).encode(), {"content-type": "application/json"})

    assert answer.status in {200, 400}


@given(body=st.binary(max_size=600))
@ROUNDS
def test_arbitrary_bytes_are_no_requests_for_tickets(aggregator, body):
    answer = aggregator.ask("POST", "/v1/tickets", body, {"content-type": "application/json"})

    assert 400 == answer.status


@pytest.fixture(scope="module")
def channel(aggregator):
    with grpc.insecure_channel(f"127.0.0.1:{aggregator.grpc_port}") as channel:
        yield channel.stream_unary("/Metrics/Submit", request_serializer=None, response_deserializer=None)


@given(messages=st.lists(st.binary(max_size=500), min_size=1, max_size=5))
@ROUNDS
def test_arbitrary_messages_are_refused(channel, messages):
    with pytest.raises(grpc.RpcError) as caught:
        channel(iter(messages), timeout=300)

    assert caught.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}


@given(
    start=st.sampled_from(
        [
            b"",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"POST /v1/events HTTP/1.1\r\nhost: x\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n",
        ]
    ),
    noise=st.binary(max_size=300),
)
@settings(ROUNDS, max_examples=60)
def test_arbitrary_bytes_on_the_wire_harm_nobody(aggregator, start, noise):
    answer = b""
    with socket.create_connection(("127.0.0.1", aggregator.http_port), 20) as client, contextlib.suppress(OSError):
        client.sendall(start + noise)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert not answer.startswith(b"HTTP/1.1 5")

    connection = http.client.HTTPConnection("127.0.0.1", aggregator.http_port, timeout=300)
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    assert b"ok\n" == response.read()
    connection.close()
