"""`GET /v1/board` of a real aggregator, as JSON and as server-sent events."""

import http.client
import json
from contextlib import closing, contextmanager

import msgspec
import pytest

from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.board import Board, BoardChange
from nodeprefetch.events import AttemptStarted, NodeDescribed, Outcome, Phase, Progress
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import batch_of, begun, ended
from tests.support.patience import eventually

MSGPACK = {"content-type": "application/msgpack"}
STREAM = {"accept": "text/event-stream"}


@pytest.fixture
def aggregator():
    with running_aggregator(on_any_port(bounds=Bounds(readers=2))) as running:
        yield running


def submit(running, *events, **about):
    answer = running.ask("POST", "/v1/events", msgspec.msgpack.encode(batch_of(*events, **about)), MSGPACK)
    assert 200 == answer.status


def board_of(running, query=""):
    answer = running.ask("GET", f"/v1/board{query}")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    return msgspec.json.decode(answer.body, type=Board)


class Stream:
    """The messages of a stream."""

    def __init__(self, response):
        self._response = response

    def message(self):
        """Return the next message: its name and its data, decoded."""
        fields = {}
        while True:
            line = self._response.readline().decode().rstrip("\n")
            if not line and "data" in fields:
                kind = {"board": Board, "change": BoardChange}[fields["event"]]
                return msgspec.json.decode(fields["data"], type=kind)
            name, _, value = line.partition(": ")
            fields[name] = value


@contextmanager
def stream_of(running, query=""):
    with closing(http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=300)) as connection:
        connection.request("GET", f"/v1/board{query}", headers=STREAM)
        response = connection.getresponse()
        assert 200 == response.status
        yield Stream(response)


def test_without_reports_the_board_is_empty(aggregator):
    board = board_of(aggregator)

    assert ("", (), (), (), ()) == (board.instance, board.instances, board.images, board.nodes, board.causes)


def test_without_a_name_it_is_the_board_of_the_instance_that_was_heard_of_last(aggregator):
    submit(aggregator, begun("a:1"), instance="one")
    submit(aggregator, begun("b:1"), instance="two")

    board = board_of(aggregator)

    assert ("two", ("one", "two"), ["b:1"]) == (board.instance, board.instances, [each.image for each in board.images])


def test_a_board_has_nodes_images_and_causes(aggregator):
    submit(aggregator, begun("a:1", "b:1"), ended("a:1", digest="sha256:1"), ended("b:1", Outcome.FAILED))

    board = board_of(aggregator, "?instance=main")

    assert [("node-1", "failed", "sf")] == [(node.node, node.state, node.cells) for node in board.nodes]
    assert [("a:1", 0, 1), ("b:1", 1, 0)] == [(each.image, each.missing, each.digests) for each in board.images]
    assert [("b:1", "not found", 1, ("node-1",))] == [
        (cause.image, cause.error, cause.nodes, cause.examples) for cause in board.causes
    ]
    assert {"failed": 1} == board.summary.nodes


def test_a_board_has_what_node_objects_say(aggregator):
    submit(aggregator, NodeDescribed(zone="eu-1a", pool="batch", created=1.5), begun("a:1"))
    (before,) = board_of(aggregator).nodes
    submit(aggregator, NodeDescribed(zone="eu-1b"))

    assert ("eu-1a", "batch", 1.5) == (before.zone, before.pool, before.created)
    assert eventually(lambda: board_of(aggregator).nodes[0].zone == "eu-1b")


def test_an_unknown_instance_has_an_empty_board_with_the_names_of_the_known_ones(aggregator):
    submit(aggregator, begun("a:1"))

    board = board_of(aggregator, "?instance=other")

    assert ("other", ("main",), ()) == (board.instance, board.instances, board.nodes)


@pytest.mark.parametrize(
    ("query", "reason"), [("?node=a", "unknown_parameter"), ("?instance=" + "a" * 513, "name_too_long")]
)
@pytest.mark.parametrize("headers", [{}, STREAM])
def test_a_wrong_parameter_is_refused(aggregator, query, reason, headers):
    answer = aggregator.ask("GET", f"/v1/board{query}", headers=headers)

    assert (400, reason) == (answer.status, json.loads(answer.body)["reason"])


@pytest.mark.parametrize("query", ["?instance=main", "?instance=unknown"])
def test_who_has_the_board_is_not_sent_it_again(aggregator, query):
    submit(aggregator, begun("a:1"))
    tag = aggregator.ask("GET", f"/v1/board{query}").headers["etag"]

    answer = aggregator.ask("GET", f"/v1/board{query}", headers={"if-none-match": tag})

    assert (304, b"", tag) == (answer.status, answer.body, answer.headers["etag"])


def test_a_changed_board_has_another_tag(aggregator):
    submit(aggregator, begun("a:1"))
    tag = aggregator.ask("GET", "/v1/board").headers["etag"]
    submit(aggregator, ended("a:1"))

    eventually(lambda: 200 == aggregator.ask("GET", "/v1/board", headers={"if-none-match": tag}).status)


def test_a_stream_is_the_board_and_what_changes(aggregator):
    submit(aggregator, begun("a:1"), node="node-1", run_id="1")
    submit(aggregator, begun("a:1"), node="node-2", run_id="2")

    with stream_of(aggregator) as stream:
        board = stream.message()
        submit(aggregator, ended("a:1"), node="node-2", run_id="2")
        change = stream.message()

    assert ["w", "w"] == [node.cells for node in board.nodes]
    assert [("node-2", "succeeded", "s")] == [(node.node, node.state, node.cells) for node in change.nodes]
    assert ({"waiting": 1, "succeeded": 1}, [1]) == (change.summary.nodes, [each.missing for each in change.images])
    assert None is change.causes


def test_a_change_has_the_progress_of_pulls(aggregator):
    begin = AttemptStarted(at=91.0, attempt_id="a", image="b:1", attempt=1, limit=30)
    submit(aggregator, begun("a:1", "b:1"), begin)
    progress = Progress(attempt_id="a", image="b:1", phase=Phase.DOWNLOADING, done_bytes=30, total_bytes=100, rate=7)

    with stream_of(aggregator) as stream:
        stream.message()
        submit(aggregator, progress)
        change = stream.message()

    (node,) = change.nodes
    assert ("wp", {"1": 30}, 30, 100, 7) == (node.cells, node.shares, node.done_bytes, node.total_bytes, node.rate)
    assert (30, 100, 7, 10) == (
        change.summary.done_bytes,
        change.summary.total_bytes,
        change.summary.rate,
        change.summary.seconds_left,
    )


def test_a_new_image_brings_a_whole_board(aggregator):
    submit(aggregator, begun("a:1"))

    with stream_of(aggregator) as stream:
        stream.message()
        submit(aggregator, begun("b:1", "a:1"), run_id="2")
        board = stream.message()

    assert ["b:1", "a:1"] == [each.image for each in board.images]


@pytest.mark.parametrize("query", ["", "?instance=main"])
def test_a_page_that_is_opened_too_early_waits_for_its_instance(aggregator, query):
    with stream_of(aggregator, query) as stream:
        empty = stream.message()
        submit(aggregator, begun("a:1"))
        board = stream.message()

    assert ((), 1) == (empty.nodes, len(board.nodes))


def test_readers_are_limited(aggregator):
    with stream_of(aggregator):
        answer = aggregator.ask("GET", "/v1/board", headers=STREAM)

    assert (429, "too_many_readers") == (answer.status, json.loads(answer.body)["reason"])


def test_the_board_is_not_on_the_port_for_submissions(aggregator):
    assert 404 == aggregator.ask("GET", "/v1/board", port=aggregator.grpc_port).status


@pytest.mark.parametrize(("headers", "kind"), [({}, "application/json"), (STREAM, "text/event-stream; charset=utf-8")])
def test_head_is_answered(aggregator, headers, kind):
    answer = aggregator.ask("HEAD", "/v1/board", headers=headers)

    assert (200, b"", kind) == (answer.status, answer.body, answer.headers["content-type"])
