"""image-prefetcher's `Metrics/Submit`, with grpcio and with bare HTTP/2 frames: other clients than ours."""

import json
import re
import socket
import time
import uuid

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.web.grpc import largest_message
from nodeprefetch.rpc.metrics import Result
from tests.support.aggregator import on_any_port, running_aggregator

BOUNDS = Bounds(body=100_000, body_time=4.0, events=1000, nodes=50)


@pytest.fixture(scope="module")
def aggregator():
    with running_aggregator(on_any_port(bounds=BOUNDS)) as running:
        yield running


def result(**fields):
    return bytes(Result(**({"attempt_id": str(uuid.uuid4()), "image": "a:1", "node": "pod-1"} | fields)))


def submit(running, messages, *, port=None, **how):
    with grpc.insecure_channel(f"127.0.0.1:{port or running.grpc_port}") as channel:
        call = channel.stream_unary("/Metrics/Submit", request_serializer=None, response_deserializer=None)
        return call(iter(messages), timeout=300, **how)


def status_of(running, messages, **how):
    with pytest.raises(grpc.RpcError) as caught:
        submit(running, messages, **how)
    return caught.value.code()


def stored(running):
    return {found["attempt_id"]: found for found in json.loads(running.ask("GET", "/metrics").body)}


def test_results_are_stored_and_answered_by_an_empty_message(aggregator):
    message = result(attempt_id="g-1", started_at=1700000000, duration_ms=1200, size_bytes=77)

    assert b"" == submit(aggregator, [message])
    assert {
        "attempt_id": "g-1",
        "started_at": 1700000000,
        "image": "a:1",
        "duration_ms": 1200,
        "node": "pod-1",
        "size_bytes": 77,
    } == stored(aggregator)["g-1"]


def test_the_port_for_reading_takes_them_too(aggregator):
    assert b"" == submit(aggregator, [result()], port=aggregator.http_port)


def test_a_second_result_with_the_same_id_replaces_the_first(aggregator):
    submit(aggregator, [result(attempt_id="g-2", image="first:1")])
    submit(aggregator, [result(attempt_id="g-2", image="second:1", node="pod-2")])

    assert ("second:1", "pod-2") == (stored(aggregator)["g-2"]["image"], stored(aggregator)["g-2"]["node"])


def test_a_result_of_ours_has_the_digest_and_says_whether_the_tag_has_moved(aggregator):
    moved = [result(image="moved:1", node="pod-9", started_at=5, digest="sha256:2", moved_from="sha256:1")]
    submit(aggregator, moved)
    submit(aggregator, moved)
    submit(aggregator, [result(image="moved:1", node="pod-9", started_at=9, digest="sha256:2")])

    text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
    found = json.loads(aggregator.ask("GET", "/v1/status?node=pod-9").body)
    (image,) = found["instances"][0]["nodes"][0]["images"]

    assert 'nodeprefetch_tags_moved_total{image="moved:1"} 1.0' in text
    assert ("sha256:2", {"at": 5.0, "before": "sha256:1", "after": "sha256:2"}) == (image["digest"], image["moved"])


def test_a_stream_without_a_message_is_fine(aggregator):
    assert b"" == submit(aggregator, [])


def test_unknown_fields_are_tolerated(aggregator):
    assert b"" == submit(aggregator, [result(attempt_id="g-3") + b"\x9a\x06\x03new"])
    assert "g-3" in stored(aggregator)


def test_thousands_of_small_messages_come_through(aggregator):
    messages = [result(attempt_id=f"many-{number}") for number in range(3000)]

    assert b"" == submit(aggregator, messages)
    assert {f"many-{number}" for number in range(3000)} <= set(stored(aggregator))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\x0a\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"", grpc.StatusCode.INVALID_ARGUMENT),
        (result(attempt_id=""), grpc.StatusCode.INVALID_ARGUMENT),
        (result(image=""), grpc.StatusCode.INVALID_ARGUMENT),
        (result(error="x" * 20_000), grpc.StatusCode.INVALID_ARGUMENT),
        (result(moved_from="x" * 600), grpc.StatusCode.INVALID_ARGUMENT),
        (result(image=5 * "x") + b"\x08\x07", grpc.StatusCode.INVALID_ARGUMENT),
        (result(error="x" * largest_message(BOUNDS)), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["no message", "empty", "without ID", "without image", "long text", "long digest", "wrong type", "too large"],
)
def test_a_wrong_message_gets_its_status_and_stores_nothing(aggregator, message, expected):
    before = set(stored(aggregator))

    assert expected == status_of(aggregator, [result(), message])
    assert before == set(stored(aggregator))


def test_compressed_messages_are_not_implemented(aggregator):
    assert grpc.StatusCode.UNIMPLEMENTED == status_of(
        aggregator, [result(error="x" * 5000)], compression=grpc.Compression.Gzip
    )


def test_another_method_is_not_implemented(aggregator):
    with grpc.insecure_channel(f"127.0.0.1:{aggregator.grpc_port}") as channel:
        call = channel.unary_unary("/Metrics/Other", request_serializer=None, response_deserializer=None)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=300)

    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


def test_too_many_nodes_exhaust_a_resource(aggregator):
    messages = [result(node=f"pod-{number}") for number in range(60)]

    assert grpc.StatusCode.RESOURCE_EXHAUSTED == status_of(aggregator, messages)


def test_over_http_1_there_is_no_grpc(aggregator):
    answer = aggregator.ask("POST", "/Metrics/Submit", b"", {"content-type": "application/grpc"})

    assert (400, "not_http2") == (answer.status, json.loads(answer.body)["reason"])


class Raw:
    """A call by bare frames."""

    def __init__(self, port, **headers):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        all_headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/Metrics/Submit",
            ":authority": "x",
            "te": "trailers",
            "content-type": "application/grpc",
        } | {re.sub("^-", ":", name.replace("_", "-")): value for name, value in headers.items()}
        self.h2.send_headers(1, list(all_headers.items()))
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def send(self, data, *, end=False):
        self.h2.send_data(1, data, end_stream=end)
        self.flush()

    def trailers(self):
        """Those of the answer; empty when the connection ended without."""
        while data := self.socket.recv(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.TrailersReceived):
                    return dict(event.headers)
            self.flush()
        return {}


def framed(message, flags=0):
    return bytes([flags]) + len(message).to_bytes(4, "big") + message


def test_a_message_may_be_split_anywhere(aggregator):
    call = Raw(aggregator.grpc_port)
    data = framed(result(attempt_id="split-1")) + framed(result(attempt_id="split-2"))
    for index in range(len(data)):
        call.send(data[index : index + 1])
    call.send(b"", end=True)

    assert "0" == call.trailers()["grpc-status"]
    assert {"split-1", "split-2"} <= set(stored(aggregator))
    call.socket.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (framed(b"x", flags=1), "12"),
        (b"\0\0\0\0", "3"),
        (framed(result())[:-1], "3"),
        (b"\0\xff\xff\xff\xff", "8"),
    ],
    ids=["compressed", "half a prefix", "half a message", "a giant announced"],
)
def test_frames_that_are_wrong_get_their_status(aggregator, data, status):
    call = Raw(aggregator.grpc_port)
    call.send(data, end=True)

    assert status == call.trailers()["grpc-status"]
    call.socket.close()


def test_a_wrong_message_is_answered_while_the_client_still_sends(aggregator):
    call = Raw(aggregator.grpc_port)
    call.send(framed(b"\x0a\xff"))

    trailers = call.trailers()

    assert ("3", "invalid message: invalid Result message of 2 bytes") == (
        trailers["grpc-status"],
        trailers["grpc-message"],
    )
    call.socket.close()
    assert b"" == submit(aggregator, [result()])


def test_a_stream_in_which_nothing_comes_is_given_up(aggregator):
    call = Raw(aggregator.grpc_port)
    call.send(framed(result()))

    assert "4" == call.trailers()["grpc-status"]
    call.socket.close()


def test_an_abrupt_end_stores_nothing_and_harms_nobody(aggregator):
    call = Raw(aggregator.grpc_port)
    call.send(framed(result(attempt_id="abrupt")))
    call.socket.close()

    assert b"" == submit(aggregator, [result()])
    assert "abrupt" not in stored(aggregator)


def test_data_after_the_answer_breaks_no_more_than_its_connection(aggregator):
    call = Raw(aggregator.grpc_port, content_type="text/html")
    call.send(b"x" * 1000)
    call.socket.settimeout(5)
    try:
        for _ in range(50):
            call.send(b"x" * 1000)
            call.socket.recv(65536)
    except (OSError, h2.exceptions.ProtocolError):
        pass
    call.socket.close()

    assert b"" == submit(aggregator, [result()])


def test_a_client_that_leaves_in_the_middle_of_an_answer_holds_no_connection(aggregator):
    """More than an HTTP/2 window lets through is under way when it leaves."""
    submit(aggregator, [result(error="x" * 15_000) for _ in range(20)])
    call = Raw(aggregator.http_port, _method="GET", _path="/metrics")
    call.h2.end_stream(1)
    call.flush()
    call.socket.recv(65536)
    call.socket.close()

    def connections():
        text = aggregator.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
        return float(text.partition("\nnodeprefetch_aggregator_connections ")[2].split()[0])

    seen = []
    while not seen or (seen[-1] != 1 and len(seen) < 100):  # 1: that which asks
        time.sleep(0.05)
        seen.append(connections())

    assert 1 == seen[-1]
