"""The decoder of the older tool's message, against the generated one and against noise."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.web.result_message import OlderResult, decode_result
from nodeprefetch.rpc.metrics import Result

FIELDS = st.fixed_dictionaries(
    {
        "attempt_id": st.text(max_size=300),
        "started_at": st.integers(-(2**63), 2**63 - 1),
        "image": st.text(max_size=300),
        "error": st.text(max_size=300),
        "duration_ms": st.integers(0, 2**64 - 1),
        "node": st.text(max_size=300),
        "size_bytes": st.integers(0, 2**64 - 1),
    }
)


@given(FIELDS)
def test_what_the_generated_code_writes_is_read(fields):
    assert OlderResult(**fields) == decode_result(bytes(Result(**fields)))


@given(st.binary(max_size=200))
def test_noise_is_a_message_or_a_value_error(data):
    with suppress(ValueError):
        decode_result(data)


@pytest.mark.parametrize(
    "unknown",
    [b"\x98\x06\x05", b"\x9a\x06\x02hi", b"\x99\x06" + b"\0" * 8, b"\x9d\x06" + b"\0" * 4, b"\x08\x07", b"\x12\x01x"],
    ids=["varint", "text", "64 bits", "32 bits", "known number, other type", "known number, text"],
)
def test_unknown_fields_are_passed_over(unknown):
    assert OlderResult(node="n") == decode_result(unknown + bytes(Result(node="n")) + unknown)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x00\x01", "number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x0a\x05abc", "ends behind"),
        (b"\x9d\x06\x00", "ends behind"),
        (b"\x10", "ends within a number"),
        (b"\x10" + b"\xff" * 3, "ends within a number"),
        (b"\x10" + b"\xff" * 11, "more than ten bytes"),
        (b"\x0a\x01\xff", "utf-8"),
    ],
)
def test_what_is_no_message_is_refused(data, what):
    with pytest.raises(ValueError, match=what):
        decode_result(data)
