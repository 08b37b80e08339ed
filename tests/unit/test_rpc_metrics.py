"""image-prefetcher's `Result`: what its clients write is read, everything else is a result or refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.errors import ProtocolViolationError
from nodeprefetch.rpc.metrics import Result, decode_result

TYPES = {
    "attempt_id": str,
    "started_at": int,
    "image": str,
    "error": str,
    "duration_ms": int,
    "node": str,
    "size_bytes": int,
    "digest": str,
    "moved_from": str,
}


@given(st.binary(max_size=200))
def test_noise_is_a_result_with_the_right_types_or_refused(data):
    with suppress(ProtocolViolationError):
        result = decode_result(data)
        assert TYPES == {name: type(getattr(result, name)) for name in TYPES}


@pytest.mark.parametrize(
    "unknown", [b"\x98\x06\x05", b"\x9a\x06\x02hi", b"\x99\x06" + b"\0" * 8, b"\x9d\x06" + b"\0" * 4]
)
def test_unknown_fields_are_ignored(unknown):
    assert Result(node="n") == decode_result(unknown + bytes(Result(node="n")) + unknown)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x08\x07", "field attempt_id of Result has the wrong type"),
        (b"\x0b", "field attempt_id of Result has the wrong type"),
        (b"\x12\x01x", "field started_at of Result has the wrong type"),
        (b"\x0a\x01\xff", "invalid Result message of 3 bytes"),
        (b"\x10" + b"\xff" * 11, "invalid Result message of 12 bytes"),
    ],
)
def test_wrong_types_and_nonsense_are_refused(data, what):
    with pytest.raises(ProtocolViolationError, match=what):
        decode_result(data)
