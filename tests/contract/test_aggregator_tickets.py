"""Tickets by real HTTP: who may pull, and what open requests leave to others."""

import http.client
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import msgspec
import pytest

from nodeprefetch.aggregator.settings import AuthMode, Bounds
from nodeprefetch.rpc.metrics import Result
from nodeprefetch.tickets.messages import TicketReply
from nodeprefetch.tickets.spread import place
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of
from tests.support.patience import eventually
from tests.support.ticket_requests import done, pulling, waiting

JSON = {"content-type": "application/json"}
FIRST, SECOND = sorted(("node-1", "node-2"), key=lambda node: place("web", node))


def ask(running, request, *, port=None, token=""):
    headers = JSON | ({"authorization": f"Bearer {token}"} if token else {})
    return running.ask("POST", "/v1/tickets", msgspec.json.encode(request), headers, port=port)


def reply_to(running, request, port=None):
    answer = ask(running, request, port=port)
    assert 200 == answer.status, answer.body
    return msgspec.json.decode(answer.body, type=TicketReply)


def metrics(running):
    """The samples of tickets."""
    text = running.ask("GET", "/metrics", headers={"accept": "text/plain"}).body.decode()
    samples = re.findall(r"^(nodeprefetch_\w*ticket\S*) (\S+)$", text, re.MULTILINE)
    return {name.removeprefix("nodeprefetch_"): float(value) for name, value in samples}


def open_requests(running):
    return metrics(running)["aggregator_open_ticket_requests"]


def begin(stack, running, request, source="127.0.0.1"):
    """Send a request from an address, without waiting for the answer."""
    address = ("127.0.0.1", running.http_port)
    connection = http.client.HTTPConnection(*address, timeout=300, source_address=(source, 0))
    stack.callback(connection.close)
    connection.request("POST", "/v1/tickets", msgspec.json.encode(request), JSON)
    return connection


def test_nodes_pull_one_after_another_on_either_port():
    with running_aggregator(on_any_port(pulling_nodes=1)) as running, ThreadPoolExecutor() as threads:
        first = threads.submit(reply_to, running, waiting(FIRST))
        second = threads.submit(reply_to, running, waiting(SECOND, wait=25), running.grpc_port)

        assert TicketReply(granted=True, pulling=1, limit=1) == first.result()
        assert not second.done()
        assert reply_to(running, pulling(FIRST)).granted
        assert not reply_to(running, done(FIRST)).granted
        assert TicketReply(granted=True, pulling=1, limit=1) == second.result()
        assert {
            'ticket_nodes{instance="web",state="waiting"}': 0,
            'ticket_nodes{instance="web",state="pulling"}': 1,
            'ticket_nodes{instance="web",state="warm"}': 1,
            'ticket_limit{instance="web"}': 1,
            "tickets_given_total": 2,
            "tickets_lost_total": 0,
            "aggregator_open_ticket_requests": 0,
        } == metrics(running)


def test_the_status_shows_what_nodes_wait_for():
    with running_aggregator(on_any_port(pulling_nodes=3)) as running:
        before = running.ask("GET", "/v1/status")
        reply_to(running, pulling("a"))
        reply_to(running, done("b"))
        reply_to(running, waiting("c", wait=0))
        after = running.ask("GET", "/v1/status", headers={"if-none-match": before.headers["etag"]})

        assert {} == json.loads(before.body)["tickets"]
        assert {"web": {"pulling": 1, "waiting": 1, "warm": 1, "limit": 3}} == json.loads(after.body)["tickets"]


@pytest.fixture(scope="module")
def unlimited():
    with running_aggregator(on_any_port()) as running:
        yield running


def test_without_a_limit_nobody_waits(unlimited):
    assert TicketReply(granted=True, pulling=1) == reply_to(unlimited, waiting("a"))


VALID = {"node": "n", "run_id": "r", "state": "waiting"}


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"{", 400, "malformed"),
        (b"[]", 400, "invalid_request"),
        (json.dumps(VALID | {"state": "idle"}).encode(), 400, "invalid_request"),
        (json.dumps(VALID | {"node": ""}).encode(), 400, "invalid_request"),
        (json.dumps(VALID | {"run_id": None}).encode(), 400, "invalid_request"),
        (json.dumps(VALID | {"wait": -1}).encode(), 400, "invalid_request"),
        (json.dumps(VALID | {"wait": 1e300}).encode(), 400, "invalid_request"),
        (b'{"node":"n","run_id":"r","state":"done","wait":NaN}', 400, "malformed"),
        (json.dumps(VALID | {"zone": "z" * 254}).encode(), 400, "invalid_request"),
        (json.dumps(VALID | {"zone": "ä" * 253}).encode(), 400, "name_too_long"),
        (json.dumps(VALID | {"more": "x" * 20_000}).encode(), 413, "too_large"),
    ],
)
def test_what_is_no_request_is_refused(unlimited, content, status, reason):
    answer = unlimited.ask("POST", "/v1/tickets", content, JSON)

    assert (status, reason) == (answer.status, json.loads(answer.body)["reason"])


def test_fields_of_a_newer_fetch_are_ignored(unlimited):
    answer = unlimited.ask("POST", "/v1/tickets", json.dumps(VALID | {"mood": "good"}).encode(), JSON)

    assert 200 == answer.status


def test_another_type_and_another_method_are_refused(unlimited):
    answers = [
        unlimited.ask("POST", "/v1/tickets", json.dumps(VALID).encode(), {"content-type": "text/plain"}),
        unlimited.ask("GET", "/v1/tickets"),
    ]

    assert [415, 405] == [answer.status for answer in answers]


class Review(msgspec.Struct):
    authenticated: bool
    username: str
    node_name: str


class OneNode:
    """An API server that knows one token, of node-1."""

    async def review_token(self, token, audience):
        return Review(token == "of.node.1", "system:serviceaccount:prefetch:fetcher", "node-1")


def test_a_node_asks_for_itself_alone():
    with running_aggregator(on_any_port(auth=AuthMode.KUBERNETES), OneNode()) as running:
        answers = [
            ask(running, waiting("node-1"), token="of.node.1"),
            ask(running, waiting("node-2"), token="of.node.1"),
            ask(running, waiting("node-1"), token="un.kno.wn"),
            ask(running, waiting("node-1")),
        ]

        assert [200, 403, 401, 401] == [answer.status for answer in answers]
        assert "wrong_node" == json.loads(answers[1].body)["reason"]


@pytest.fixture(scope="module")
def closed():
    """Nobody may pull. One address may have 110 of 220 connections, and 92 may have open requests."""
    with running_aggregator(on_any_port(pulling_nodes=0, bounds=Bounds(connections=220))) as running:
        yield running


def test_a_node_that_hangs_up_does_not_wait_any_more(closed):
    with ExitStack() as stack:
        begin(stack, closed, waiting("a"))
        assert eventually(lambda: 1 == open_requests(closed))
    assert eventually(lambda: 0 == open_requests(closed))


def test_open_requests_leave_connections_and_memory_to_others(closed):
    """Of 120 nodes with one address 28 are told to ask again, and everybody else is served."""
    with ExitStack() as stack:
        nodes = sorted((f"node-{number}" for number in range(120)), key=lambda node: place("web", node))
        connections = {node: begin(stack, closed, waiting(node, wait=25)) for node in nodes[::-1]}
        sent_away = [msgspec.json.decode(connections[node].getresponse().read()) for node in nodes[92:]]

        assert all(not reply.get("granted") and reply["ask_again"] >= 5 for reply in sent_away)
        assert 92 == open_requests(closed)
        assert b"ok\n" == closed.ask("GET", "/healthz").body
        body = msgspec.msgpack.encode(batch_of(attempt()))
        assert 200 == closed.ask("POST", "/v1/events", body, {"content-type": "application/msgpack"}).status
        assert reply_to(closed, pulling("pulls")).granted
        begin(stack, closed, waiting("elsewhere"), "127.0.0.2")
    assert eventually(lambda: 0 == open_requests(closed))


def test_a_client_that_pipelines_another_request_gets_both_answers(closed):
    body = msgspec.json.encode(waiting("pipelined", wait=0.5))
    request = b"POST /v1/tickets HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", closed.http_port), 300) as client:
        client.sendall(request + b"content-length: %d\r\n\r\n" % len(body) + body)
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65536), b""))

    assert 2 == answers.count(b"HTTP/1.1 200 ")


def test_a_stop_answers_open_requests():
    """Otherwise the connection would be closed without an answer, five seconds later."""
    with ExitStack() as stack:
        with running_aggregator(on_any_port(pulling_nodes=0)) as running:
            connection = begin(stack, running, waiting("a", wait=25))
            assert eventually(lambda: 1 == open_requests(running))
        answer = connection.getresponse()

        assert {"ask_again": 5, "limit": 0} == json.loads(answer.read())


def test_image_prefetchers_fetch_is_unaffected_by_limits(closed):
    """It does not ask."""
    with grpc.insecure_channel(f"127.0.0.1:{closed.grpc_port}") as channel:
        call = channel.stream_unary("/Metrics/Submit", request_serializer=None, response_deserializer=None)

        assert b"" == call(iter([bytes(Result(attempt_id="x", image="a:1", node="n"))]), timeout=300)
