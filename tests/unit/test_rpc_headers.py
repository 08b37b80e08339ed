import math

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.errors import ProtocolViolationError
from nodeprefetch.rpc.metadata import decode_metadata, encode_metadata
from nodeprefetch.rpc.request import encode_timeout, request_headers
from nodeprefetch.rpc.status import decode_message, response_problem, trailers_problem

GRPC = {b":status": b"200", b"content-type": b"application/grpc"}


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (math.inf, None),
        (1.0, "1000m"),
        (0.0001, "1m"),
        (0.0, "1m"),
        (-1.0, "1m"),
        (1.0001, "1001m"),
        (99_999.999, "99999999m"),
        (100_000.0, "100000S"),
        (1e8, "1666667M"),
        (1e10, "2777778H"),
        (1e13, None),
    ],
)
def test_a_timeout_is_written_in_the_finest_unit_that_fits(seconds, value):
    assert value == encode_timeout(seconds)


@given(st.floats(0, 1e15))
def test_a_timeout_has_eight_digits_at_most_and_is_never_too_short(seconds):
    value = encode_timeout(seconds)

    if value is not None:
        assert 1 <= len(value[:-1]) <= 8
        assert seconds <= int(value[:-1]) * {"m": 0.001, "S": 1, "M": 60, "H": 3600}[value[-1]] * (1 + 1e-12)


def test_the_content_type_is_exactly_this():
    headers = request_headers("/a/B", authority="x", timeout_seconds=math.inf, metadata=None)

    assert ["application/grpc"] == [value for name, value in headers if name == "content-type"]


def test_metadata_comes_last_and_lower_case():
    headers = request_headers("/a/B", authority="x", timeout_seconds=math.inf, metadata={"X-Y": " z "})

    assert ("x-y", "z") == headers[-1]


def test_bytes_are_base64_without_padding():
    assert [("a-bin", "AAE"), ("b", "c")] == encode_metadata([("a-bin", b"\0\1"), ("b", "c")])


@pytest.mark.parametrize(
    "pair",
    [
        (":path", "x"),
        ("grpc-timeout", "1S"),
        ("te", "x"),
        ("a b", "x"),
        ("", "x"),
        ("a", "ü"),
        ("a", "x\n"),
        ("a", b"x"),
        ("a-bin", "x"),
    ],
)
def test_metadata_that_cannot_be_sent_is_refused(pair):
    with pytest.raises(ValueError, match="metadata"):
        encode_metadata([pair])


def test_received_bytes_are_decoded_with_and_without_padding_and_joined():
    headers = [(b":status", b"200"), (b"a-bin", b"AAE, AAE=,!"), (b"b", b"c"), (b"b", b"\xc3\xbc")]

    assert (("a-bin", b"\0\1"), ("a-bin", b"\0\1"), ("b", "c"), ("b", "ü")) == decode_metadata(headers)


@given(st.dictionaries(st.from_regex(r"[a-z][0-9a-z_.]{0,8}-bin", fullmatch=True), st.binary()))
def test_bytes_survive_the_way(metadata):
    wire = [(name.encode(), value.encode()) for name, value in encode_metadata(metadata)]
    expected = tuple(metadata.items())

    assert expected == decode_metadata(wire)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", None),
        (b"plain", "plain"),
        (b"caf%C3%A9 50%25", "café 50%"),
        (b"100%", "100%"),
        (b"%zz %4", "%zz %4"),
        (b"%ff", "�"),
    ],
)
def test_a_message_is_percent_decoded_and_never_fails(raw, text):
    assert text == decode_message(raw)


@pytest.mark.parametrize(
    ("code", "status"),
    [(b"503", Status.UNAVAILABLE), (b"404", Status.UNIMPLEMENTED), (b"418", Status.UNKNOWN), (b"", Status.UNKNOWN)],
)
def test_an_http_status_becomes_the_grpc_status_of_the_specification(code, status):
    problem = response_problem({b":status": code})

    assert isinstance(problem, GRPCError)
    assert status == problem.status


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc; x=y"])
def test_an_answer_of_these_types_is_grpc(kind):
    assert response_problem({**GRPC, b"content-type": kind}) is None


@pytest.mark.parametrize("kind", [b"", b"text/html", b"application/grpcish"])
def test_an_answer_of_another_type_is_not_grpc(kind):
    assert isinstance(response_problem({**GRPC, b"content-type": kind}), ProtocolViolationError)


def test_an_answer_with_a_grpc_status_is_grpc_whatever_else_it_says():
    assert response_problem({b":status": b"503", b"grpc-status": b"8"}) is None


def test_status_zero_is_no_problem():
    assert trailers_problem({b"grpc-status": b"0"}) is None


def test_a_status_of_the_future_is_unknown_and_named():
    problem = trailers_problem({b"grpc-status": b"77", b"grpc-message": b"hm"})

    assert isinstance(problem, GRPCError)
    assert (Status.UNKNOWN, "status 77: hm") == (problem.status, problem.message)


@pytest.mark.parametrize("raw", [b"", b"x", b"-1", b"9" * 5000, b"\xff"])
def test_a_status_that_is_no_number_is_against_the_protocol(raw):
    assert isinstance(trailers_problem({b"grpc-status": raw}), ProtocolViolationError)


def test_no_status_is_against_the_protocol():
    assert isinstance(trailers_problem({}), ProtocolViolationError)
