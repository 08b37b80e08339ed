"""Batches off the wire, and what is beyond a bound."""

import msgspec
import pytest

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.backlog import RenderedRow, rows_of
from nodeprefetch.aggregator.web.decode import Decoder
from nodeprefetch.events import AttemptFinished, Notice, TagMoved
from tests.support.batches import attempt, batch_of, begun, ended

DECODER = Decoder(Bounds(events=3, name=20, image=30, text=40))


def refused(body):
    with pytest.raises(RefusedError) as caught:
        DECODER.msgpack(body)
    return caught.value.status, caught.value.reason


def with_event(**fields):
    event = msgspec.to_builtins(attempt(attempt_id="x")) | fields
    return msgspec.msgpack.encode(msgspec.to_builtins(batch_of()) | {"events": [event]})


def test_a_batch_comes_through_as_it_was():
    batch = batch_of(begun("a:1"), attempt(attempt_id="x"), ended())

    decoded = DECODER.msgpack(msgspec.msgpack.encode(batch))

    assert msgspec.to_builtins(batch) == msgspec.to_builtins(decoded)
    assert isinstance(decoded.events[1], AttemptFinished)


def test_lines_of_json_are_batches_and_empty_lines_are_none():
    one, other = batch_of(attempt(attempt_id="x")), batch_of(ended(), node="node-2")
    body = msgspec.json.encode(one) + b"\n\n" + msgspec.json.encode(other) + b"\r\n"

    assert ["node-1", "node-2"] == [batch.node for batch in DECODER.lines(body)]


@pytest.mark.parametrize(
    "fields",
    [
        {"attempt_id": ""},
        {"attempt_id": "x" * 21},
        {"image": ""},
        {"image": "x" * 31},
        {"error": "x" * 41},
        {"reason": "x" * 21},
        {"duration": float("nan")},
        {"duration": float("inf")},
        {"at": -1.0},
        {"size": -1},
        {"size": 2**63},
        {"attempt": "1"},
    ],
    ids=str,
)
def test_a_field_beyond_its_bound_is_refused(fields):
    assert (400, "invalid_batch") == refused(with_event(**fields))


def test_a_batch_needs_its_node():
    assert (400, "invalid_batch") == refused(msgspec.msgpack.encode(batch_of(node="")))


def test_more_events_than_the_bound_are_too_many():
    assert (413, "too_many_events") == refused(msgspec.msgpack.encode(batch_of(*[ended()] * 4)))


def test_lines_have_the_bound_of_events_together():
    with pytest.raises(RefusedError) as caught:
        DECODER.lines((msgspec.json.encode(batch_of(*[ended()] * 2)) + b"\n") * 2)

    assert (413, "too_many_events") == (caught.value.status, caught.value.reason)


def test_batches_of_one_request_have_a_bound():
    with pytest.raises(RefusedError) as caught:
        DECODER.lines((msgspec.json.encode(batch_of()) + b"\n") * (Bounds().batches + 1))

    assert (413, "too_many_batches") == (caught.value.status, caught.value.reason)


def test_events_of_the_live_stream_are_of_the_node_and_run_of_their_batch():
    """Whatever they say themselves: a node's token is held against the batch."""
    forged = begun("a:1", node="victim", run_id="victim-run")
    batch = batch_of(forged, node="node-1", run_id="run-1")

    (body,) = rows_of(batch, batch.events)
    (message,) = RenderedRow(1, body).after(-1)

    told = msgspec.json.decode(message.partition(b"data: ")[2])
    assert ("node-1", "run-1") == (told["node"], told["run_id"])


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xd9\xff", b"\x91" * 5000], ids=repr)
def test_what_is_no_msgpack_is_malformed(body):
    assert (400, "malformed") == refused(body) or (400, "invalid_batch") == refused(body)


def test_a_list_of_images_is_bounded_too():
    assert (400, "invalid_batch") == refused(msgspec.msgpack.encode(batch_of(begun("x" * 31))))


def test_an_event_of_a_kind_we_do_not_know_is_passed_over():
    body = msgspec.msgpack.encode(
        msgspec.to_builtins(batch_of())
        | {"events": [{"event": "of_the_future", "at": "noon"}, msgspec.to_builtins(Notice(message="hello"))]}
    )

    assert ["hello"] == [event.message for event in DECODER.msgpack(body).events]


@pytest.mark.parametrize("missing", ["before", "after"])
def test_the_move_of_a_tag_needs_both_digests(missing):
    event = msgspec.to_builtins(TagMoved(image="a:1", before="sha256:1", after="sha256:2"))
    body = msgspec.to_builtins(batch_of())

    (moved,) = DECODER.msgpack(msgspec.msgpack.encode(body | {"events": [event]})).events
    assert ("sha256:1", "sha256:2") == (moved.before, moved.after)
    assert (400, "invalid_batch") == refused(msgspec.msgpack.encode(body | {"events": [event | {missing: ""}]}))


def test_beside_an_unknown_event_the_known_ones_keep_their_bounds():
    body = msgspec.msgpack.encode(
        msgspec.to_builtins(batch_of())
        | {"events": [{"event": "of_the_future"}, msgspec.to_builtins(Notice(message="x" * 41))]}
    )

    assert (400, "invalid_batch") == refused(body)


@pytest.mark.parametrize("name", ["run_id", "node", "version", "instance"])
def test_the_names_of_a_batch_are_bounded_in_bytes(name):
    """Each event of the live stream is sent with them: 20 characters would be 80 bytes."""
    fields = msgspec.to_builtins(batch_of(ended()))

    assert (400, "name_too_long") == refused(msgspec.msgpack.encode(fields | {name: "\U0001f600" * 6}))


@pytest.mark.parametrize("events", [91, "x" * 30, {"a": 1}, None], ids=repr)
def test_events_that_are_no_list_are_not_too_many(events):
    body = msgspec.to_builtins(batch_of()) | {"events": events}

    assert (400, "invalid_batch") == refused(msgspec.msgpack.encode(body))
    with pytest.raises(RefusedError) as caught:
        DECODER.lines(msgspec.json.encode(body))
    assert (400, "invalid_batch") == (caught.value.status, caught.value.reason)


def test_too_many_events_of_unknown_kinds_are_too_many_too():
    body = msgspec.to_builtins(batch_of()) | {"events": [{"event": "of_the_future"}] * 4}

    assert (413, "too_many_events") == refused(msgspec.msgpack.encode(body))
    with pytest.raises(RefusedError) as caught:
        DECODER.lines(b" " + msgspec.json.encode(body))
    assert (413, "too_many_events") == (caught.value.status, caught.value.reason)


def test_a_list_of_very_many_values_is_refused_before_they_are_made():
    """msgspec makes all values of a list in JSON before it looks at their number: 16 MiB became 600."""
    body = msgspec.json.encode(batch_of())[:-1] + b',"more":[' + b"1," * 1000 + b"1]}"

    with pytest.raises(RefusedError) as caught:
        DECODER.lines(body)

    assert (413, "too_large") == (caught.value.status, caught.value.reason)
