"""`POST /v1/events` over real sockets, by a client that is not ours."""

import gzip
import http.client
import json
import socket
import threading

import msgspec
import pytest

from nodeprefetch.aggregator.server.middleware import REQUEST
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.events import Phase, Progress
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of, begun, ended
from tests.support.patience import eventually

MSGPACK = {"content-type": "application/msgpack"}
LINES = {"content-type": "application/x-ndjson"}
SMALL = Bounds(body=2000, decompressed=5000, events=5, nodes=1, body_time=0.3, idle_time=0.5, retry_after=7)


@pytest.fixture(scope="module")
def aggregator():
    with running_aggregator(on_any_port()) as running:
        yield running


@pytest.fixture(scope="module")
def bounded():
    with running_aggregator(on_any_port(bounds=SMALL)) as running:
        running.ask("POST", "/v1/events", packed(attempt()), MSGPACK)
        yield running


def packed(*events, **about):
    return msgspec.msgpack.encode(batch_of(*events, **about))


def refused(running, body, headers, **how):
    answer = running.ask("POST", "/v1/events", body, headers, **how)
    assert "application/json" == answer.headers["content-type"]
    content = json.loads(answer.body)
    assert {"reason", "error"} == set(content)
    return answer.status, content["reason"]


def exposition(running):
    return running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()


def counted(running, reason):
    lines = [
        line
        for line in exposition(running).splitlines()
        if line.startswith("nodeprefetch_aggregator_refused_requests_total")
    ]
    return sum(float(line.split()[-1]) for line in lines if f'"{reason}"' in line)


def test_msgpack_is_stored_and_acknowledged(aggregator):
    body = packed(begun("m:1"), attempt("m:1"), ended("m:1"), node="msgpack")

    first = aggregator.ask("POST", "/v1/events", body, MSGPACK)
    again = aggregator.ask("POST", "/v1/events", body, MSGPACK)

    assert (200, {"accepted": 3, "duplicates": 0}) == (first.status, json.loads(first.body))
    assert (200, {"accepted": 0, "duplicates": 3}) == (again.status, json.loads(again.body))


def test_both_ports_take_submissions(aggregator):
    answer = aggregator.ask("POST", "/v1/events", packed(attempt()), MSGPACK, port=aggregator.grpc_port)

    assert 200 == answer.status


def test_lines_of_json_are_stored(aggregator):
    body = b"\n".join(msgspec.json.encode(batch_of(attempt(), node=f"line-{number}")) for number in range(3))

    answer = aggregator.ask("POST", "/v1/events", body, LINES)

    assert {"accepted": 3, "duplicates": 0} == json.loads(answer.body)


def test_a_line_of_json_as_the_guide_shows_it_may_have_events_of_the_future(aggregator):
    line = (
        b'{"run_id": "r", "node": "json-moved", "version": "9", "events": [{"event": "of_the_future"},'
        b' {"event": "tag_moved", "at": 5, "image": "json:1", "before": "sha256:1", "after": "sha256:2", "new": 1}]}'
    )

    accepted = [json.loads(aggregator.ask("POST", "/v1/events", body, LINES).body) for body in (line, line + b"\n")]
    status = json.loads(aggregator.ask("GET", "/v1/status?node=json-moved").body)

    assert [{"accepted": 1, "duplicates": 0}, {"accepted": 0, "duplicates": 1}] == accepted
    (image,) = status["instances"][0]["nodes"][0]["images"]
    assert {"at": 5.0, "before": "sha256:1", "after": "sha256:2"} == image["moved"]


def test_many_nodes_that_pull_are_asked_for_less_progress():
    """By the answer to each batch: 301 nodes may each report every six seconds."""
    pulling = Progress(attempt_id="x", image="m:1", phase=Phase.DOWNLOADING)
    lines = [msgspec.json.encode(batch_of(pulling, node=f"n{number}")) for number in range(301)]
    with running_aggregator(on_any_port()) as running:
        answers = [
            json.loads(running.ask("POST", "/v1/events", b"\n".join(part), LINES).body)
            for part in (lines[:100], lines[100:200], lines[200:300], lines[300:])
        ]

    assert [None, None, None, 6] == [answer.get("progress_interval") for answer in answers]


def test_gzip_is_decompressed(aggregator):
    answer = aggregator.ask(
        "POST", "/v1/events", gzip.compress(packed(attempt())), MSGPACK | {"content-encoding": "gzip"}
    )

    assert {"accepted": 1, "duplicates": 0} == json.loads(answer.body)


def test_one_connection_carries_many_batches(aggregator):
    connection = http.client.HTTPConnection("127.0.0.1", aggregator.http_port, timeout=300)
    accepted = []
    for _ in range(20):
        connection.request("POST", "/v1/events", packed(attempt()), MSGPACK)
        accepted.append(json.loads(connection.getresponse().read())["accepted"])
    connection.close()

    assert [1] * 20 == accepted


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"\xc1", MSGPACK, (400, "malformed")),
        (b"\x01", MSGPACK, (400, "invalid_batch")),
        (b"{}\n", LINES, (400, "invalid_batch")),
        (b"x", {"content-type": "text/html"}, (415, "unknown_type")),
        (b"x", {}, (415, "unknown_type")),
        (b"x", MSGPACK | {"content-encoding": "br"}, (415, "unknown_encoding")),
        (b"no gzip", MSGPACK | {"content-encoding": "gzip"}, (400, "malformed")),
        (gzip.compress(b"x", mtime=0)[:-4], MSGPACK | {"content-encoding": "gzip"}, (400, "malformed")),
        (gzip.compress(b"x", mtime=0) + b"y", MSGPACK | {"content-encoding": "gzip"}, (400, "malformed")),
    ],
)
def test_what_is_no_submission_is_refused_with_a_reason(aggregator, body, headers, expected):
    assert expected == refused(aggregator, body, headers)


def test_one_bad_line_refuses_all_lines(aggregator):
    good = msgspec.json.encode(batch_of(attempt(), node="beside-a-bad-line"))

    assert (400, "malformed") == refused(aggregator, good + b"\n{", LINES)
    assert b"beside-a-bad-line" not in aggregator.ask("GET", "/metrics").body


def test_a_body_that_is_too_large_is_refused_and_counted(bounded):
    before = counted(bounded, "too_large")

    assert (413, "too_large") == refused(bounded, b"x" * 2001, MSGPACK)
    assert before + 1 == counted(bounded, "too_large")


def test_a_body_of_unknown_length_is_bounded_too(bounded):
    connection = http.client.HTTPConnection("127.0.0.1", bounded.http_port, timeout=300)
    connection.request("POST", "/v1/events", iter([b"x" * 1500] * 4), MSGPACK, encode_chunked=True)
    response = connection.getresponse()
    response.read()
    connection.close()

    assert 413 == response.status


def test_a_length_of_thousands_of_digits_is_no_number_to_count_with(bounded):
    with socket.create_connection(("127.0.0.1", bounded.http_port), 20) as client:
        client.sendall(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n")
        answer = client.recv(100)

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))


def test_a_small_body_that_decompresses_to_a_large_one_is_refused(bounded):
    bomb = gzip.compress(bytes(1_000_000), mtime=0)

    assert len(bomb) < 2000
    assert (413, "too_large") == refused(bounded, bomb, MSGPACK | {"content-encoding": "gzip"})


def test_too_many_events_are_refused(bounded):
    assert (413, "too_many_events") == refused(bounded, packed(*[ended()] * 6), MSGPACK)


def test_too_many_nodes_are_asked_to_come_later(bounded):
    answer = bounded.ask("POST", "/v1/events", packed(attempt(), node="node-2"), MSGPACK)

    assert (429, "7", "too_many_nodes") == (
        answer.status,
        answer.headers["retry-after"],
        json.loads(answer.body)["reason"],
    )


def test_too_much_in_hand_is_asked_to_come_later():
    with running_aggregator(on_any_port(bounds=Bounds(in_flight=4 * REQUEST))) as running:
        assert (429, "busy") == refused(running, b"x" * (2 * REQUEST + 1), MSGPACK)
        assert 1 == counted(running, "busy")
        assert f"nodeprefetch_aggregator_in_flight_bytes {REQUEST}.0" in exposition(running)  # the one who asks


def test_a_body_that_does_not_come_is_not_waited_for(bounded):
    with socket.create_connection(("127.0.0.1", bounded.http_port), 20) as client:
        client.sendall(
            b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/msgpack\r\ncontent-length: 9\r\n\r\nx"
        )
        answer = b"".join(iter(lambda: client.recv(1000), b""))

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"reason":"too_slow"' in answer


def test_half_a_head_is_not_waited_for(bounded):
    with socket.create_connection(("127.0.0.1", bounded.http_port), 20) as client:
        client.sendall(b"POST /v1/events HTTP/1.1\r\nhost:")

        assert b"" == client.recv(1000)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(aggregator):
    body = packed(attempt(), node="left-in-the-middle")
    with socket.create_connection(("127.0.0.1", aggregator.http_port), 20) as client:
        client.sendall(
            b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/msgpack\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body[:-1])
        )

    assert 200 == aggregator.ask("POST", "/v1/events", packed(attempt()), MSGPACK).status
    assert b"left-in-the-middle" not in aggregator.ask("GET", "/metrics").body


def test_a_client_that_takes_no_answer_is_given_up():
    with running_aggregator(on_any_port(bounds=Bounds(stuck_time=0.5))) as running:
        lines = b"\n".join(
            msgspec.json.encode(batch_of(*[attempt("image" * 100) for _ in range(100)])) for _ in range(40)
        )
        assert 200 == running.ask("POST", "/v1/events", lines, LINES).status
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", running.http_port))
            client.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 3)

            def connections():
                text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
                return float(text.partition("\nnodeprefetch_aggregator_connections ")[2].split()[0])

            assert eventually(lambda: connections() == 2)
            assert eventually(lambda: connections() == 1)


def test_many_submit_at_once_and_nothing_is_lost():
    with running_aggregator(on_any_port()) as running:

        def submit(number):
            connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=300)
            for part in range(10):
                events = [attempt(f"image-{part}:1", attempt_id=f"{number}-{part}-{index}") for index in range(20)]
                connection.request(
                    "POST", "/v1/events", packed(*events, node=f"node-{number}", run_id=str(number)), MSGPACK
                )
                connection.getresponse().read()
            connection.close()

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = {result["attempt_id"] for result in json.loads(running.ask("GET", "/metrics").body)}
        assert {f"{a}-{b}-{c}" for a in range(30) for b in range(10) for c in range(20)} == found
