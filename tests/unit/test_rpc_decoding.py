"""Messages from others: unknown fields are dropped, and what would hold the thread is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.errors import ProtocolViolationError
from nodeprefetch.rpc import cri
from nodeprefetch.rpc.decoding import MOST_UNKNOWN, SMALL, decode, largest

UNKNOWN = b"\xf8\x3f\x01"  # field 1023, a number
IMAGE = bytes(cri.Image(id="sha256:1", repo_tags=["a:1", "b:1"], size=5))


@given(st.lists(st.sampled_from([UNKNOWN, b"\xfa\x3f\x03abc"]), max_size=20))
def test_unknown_fields_change_nothing_and_are_not_kept(fields):
    unknown = b"".join(fields)

    message = decode(cri.Image, unknown + IMAGE + unknown)

    assert decode(cri.Image, IMAGE) == message
    assert IMAGE == bytes(message)


def test_more_unknown_fields_than_any_runtime_has_are_refused():
    assert cri.Image() == decode(cri.Image, UNKNOWN * MOST_UNKNOWN)
    with pytest.raises(ProtocolViolationError):
        decode(cri.Image, UNKNOWN * (MOST_UNKNOWN + 1))


@pytest.mark.parametrize("zeros", [b"\0\0", b"\x80\0\0", bytes(2 * 1024 * 1024)], ids=["one", "longer", "2 MiB"])
def test_the_field_number_0_is_refused_where_it_first_comes(zeros):
    with pytest.raises(ProtocolViolationError):
        decode(cri.VersionResponse, zeros)


def test_unknown_fields_of_messages_in_a_message_are_dropped_too():
    inner = UNKNOWN * 3 + IMAGE
    outer = b"\x0a" + bytes([len(inner)]) + inner

    (image,) = decode(cri.ListImagesResponse, outer).images

    assert IMAGE == bytes(image)


def test_an_answer_with_room_for_names_only_may_not_be_as_large_as_a_list_of_images():
    assert SMALL == largest(cri.VersionResponse, 2**24)
    assert 2**24 == largest(cri.ListImagesResponse, 2**24)
