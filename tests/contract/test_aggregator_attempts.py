"""`GET /v1/attempts` of a real aggregator."""

import json
from dataclasses import asdict
from urllib.parse import quote

import msgspec
import pytest

from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.attempts import attempts_of
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web.legacy import submissions_of
from nodeprefetch.board import AttemptRecord
from nodeprefetch.rpc.metrics import Result
from tests.support.aggregator import on_any_port, running_aggregator
from tests.support.batches import attempt, batch_of

MSGPACK = {"content-type": "application/msgpack"}


@pytest.fixture(scope="module")
def aggregator():
    with running_aggregator(on_any_port()) as running:
        yield running


def submit(running, *events, **about):
    answer = running.ask("POST", "/v1/events", msgspec.msgpack.encode(batch_of(*events, **about)), MSGPACK)
    assert 200 == answer.status


def ask(running, **query):
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    answer = running.ask("GET", f"/v1/attempts?{text}")
    return answer.status, json.loads(answer.body)


def images(found):
    return [each["image"] for each in found["attempts"]]


def test_it_has_everything_that_is_known_of_an_attempt(aggregator):
    failed = msgspec.structs.replace(attempt("b:1", error="not found"), credential="kubelet: quay.io", limit=120.0)
    submit(aggregator, attempt("a:1"), failed, node="whole", run_id="run-7")

    _, found = ask(aggregator, node="whole")

    assert {
        "attempts": [
            {
                "node": "whole",
                "image": "b:1",
                "attempt": 1,
                "started_at": 98.5,
                "duration": 1.5,
                "limit": 120.0,
                "run_id": "run-7",
                "credential": "kubelet: quay.io",
                "error": "not found",
                "error_class": "permanent",
                "reason": "not_found",
            },
            {
                "node": "whole",
                "image": "a:1",
                "attempt": 1,
                "started_at": 98.5,
                "duration": 1.5,
                "limit": 30.0,
                "run_id": "run-7",
                "size": 1000,
                "digest": "sha256:1",
            },
        ],
        "more": False,
    } == found
    assert 2 == len(msgspec.convert(found["attempts"], list[AttemptRecord]))


def test_the_newest_come_first_whatever_clocks_say(aggregator):
    for number, at in enumerate((300.0, 100.0, 200.0)):
        submit(aggregator, attempt(f"{number}:1", at=at), node="clock", run_id=f"run-{number}")

    assert ["2:1", "1:1", "0:1"] == images(ask(aggregator, node="clock")[1])


def test_it_says_whether_there_are_older_ones(aggregator):
    submit(aggregator, *map(attempt, ("a:1", "b:1", "c:1")), node="older")

    assert [(["c:1", "b:1"], True), (["c:1", "b:1", "a:1"], False)] == [
        (images(found), found["more"]) for limit in "23" for _, found in [ask(aggregator, node="older", limit=limit)]
    ]


def test_without_a_limit_there_are_a_hundred(aggregator):
    submit(aggregator, *(attempt() for _ in range(101)), node="many")

    _, found = ask(aggregator, node="many")

    assert (100, True) == (len(found["attempts"]), found["more"])


def test_only_those_of_an_image_or_an_instance(aggregator):
    submit(aggregator, attempt("a:1"), attempt("b:1"), node="some", instance="web")
    submit(aggregator, attempt("a:1"), attempt("c:1"), node="some", instance="batch")

    assert ["c:1", "a:1", "b:1", "a:1"] == images(ask(aggregator, node="some")[1])
    assert ["c:1", "a:1"] == images(ask(aggregator, node="some", instance="batch")[1])
    assert ["a:1"] == images(ask(aggregator, node="some", instance="web", image="a:1")[1])


@pytest.mark.parametrize("query", [{"node": "x"}, {"node": "known", "image": "x"}, {"node": "known", "instance": "x"}])
def test_of_what_is_not_known_there_are_none(aggregator, query):
    submit(aggregator, attempt(), node="known")

    assert (200, {"attempts": [], "more": False}) == ask(aggregator, **query)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({}, "missing_parameter"),
        ({"node": ""}, "missing_parameter"),
        ({"image": "a:1"}, "missing_parameter"),
        ({"node": "n", "limit": "0"}, "bad_limit"),
        ({"node": "n", "limit": "1001"}, "bad_limit"),
        ({"node": "n", "limit": "-1"}, "bad_limit"),
        ({"node": "n", "limit": "9" * 5000}, "bad_limit"),
        ({"node": "n", "limit": "\u0663"}, "bad_limit"),
        ({"node": "n", "state": "failed"}, "unknown_parameter"),
        ({"node": "n", "%FF": ""}, "unknown_parameter"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(aggregator, query, reason):
    status, found = ask(aggregator, **query)

    assert (400, reason) == (status, found["reason"])


def test_hostile_names_are_only_names(aggregator):
    name = "'; DROP TABLE attempt; --<script>\u2028"
    submit(aggregator, attempt(name), node=name)

    assert [name] == images(ask(aggregator, node=name, image=name, instance="main")[1])


def test_bytes_that_are_no_text_are_a_name_that_is_not_known(aggregator):
    assert 200 == aggregator.ask("GET", "/v1/attempts?node=%FF%00&image=%C0%80").status


def test_it_is_not_on_the_port_for_submissions(aggregator):
    assert 404 == aggregator.ask("GET", "/v1/attempts?node=n", port=aggregator.grpc_port).status


async def test_those_of_the_older_tool_belong_to_the_instance_without_a_name(autojump_clock):
    result = Result(attempt_id="x", node="n", image="a:1", started_at=10.0, duration_ms=500, error="no")
    with open_database(None) as database:
        store = Store(database, Bounds())
        store.write([submissions_of([result])], 1000)

        found = [await attempts_of(store, "n", instance=instance, limit=9) for instance in (None, "", "web")]

    assert [1, 1, 0] == [len(each.attempts) for each in found]
    assert ("", 0) == (found[0].attempts[0].run_id, found[0].attempts[0].limit)


async def test_those_whose_run_is_forgotten_are_still_attempts(autojump_clock):
    with open_database(None) as database:
        store = Store(database, Bounds())
        store.write([[Submission(batch=batch_of(attempt()))]], 1000)
        database.execute("DELETE FROM run")

        found = await attempts_of(store, "node-1", limit=9)

    assert [""] == [each.run_id for each in found.attempts]


async def test_however_many_a_node_has_each_is_read_once_and_long_errors_end_the_answer(autojump_clock):
    with open_database(None) as database:
        store = Store(database, Bounds())
        names = [f"image-{number}:1" for number in range(2500)]
        store.write([[Submission(batch=batch_of(*map(attempt, names)))]], 1000)
        store.write([[Submission(batch=batch_of(*(attempt(error="x" * 16_000) for _ in range(400)), node="n2"))]], 1000)

        all_of_one = await attempts_of(store, "node-1", limit=5000)
        oldest = await attempts_of(store, "node-1", image=names[0], limit=5000)
        long = await attempts_of(store, "n2", limit=1000)

    assert (names[::-1], False) == ([each.image for each in all_of_one.attempts], all_of_one.more)
    assert ([names[0]], False) == ([each.image for each in oldest.attempts], oldest.more)
    assert (263, True) == (len(long.attempts), long.more)
    assert {"attempts", "more"} == set(asdict(long))
