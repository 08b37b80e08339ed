import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.errors import ProtocolViolationError
from nodeprefetch.rpc.frames import FrameParser, frame_message


def drain(parser: FrameParser) -> list[bytes]:
    messages = []
    while (message := parser.next_message()) is not None:
        messages.append(message)
    return messages


def test_a_message_has_a_flag_and_four_bytes_of_length_before_it():
    assert b"\0\0\0\0\3abc" == frame_message(b"abc")


@given(st.lists(st.binary(max_size=40)), st.data())
def test_messages_come_out_the_same_however_the_bytes_are_split(messages, data):
    wire = b"".join(map(frame_message, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)))))
    parser = FrameParser(40)
    seen = []

    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        parser.feed(wire[start:end])
        seen += drain(parser)

    assert messages == seen
    assert not parser.in_message


@given(st.lists(st.binary(max_size=60)))
def test_garbage_gives_messages_within_the_limit_or_our_error(pieces):
    parser = FrameParser(32)

    for piece in pieces:
        parser.feed(piece)
        try:
            seen = drain(parser)
        except ProtocolViolationError:
            return
        assert all(len(message) <= 32 for message in seen)


def test_a_message_of_the_largest_size_is_accepted():
    parser = FrameParser(4)
    parser.feed(frame_message(b"abcd"))

    assert b"abcd" == parser.next_message()


def test_a_larger_message_is_refused_by_its_length_alone_and_stays_refused():
    parser = FrameParser(4)
    parser.feed(b"\0\0\0\0\5")

    for _ in range(2):
        with pytest.raises(ProtocolViolationError, match="5 bytes, larger than the limit of 4"):
            parser.next_message()


def test_a_compressed_message_is_refused():
    parser = FrameParser(4)
    parser.feed(b"\1\0\0\0\0")

    with pytest.raises(ProtocolViolationError, match="flags 0x01"):
        parser.next_message()


def test_half_a_message_is_no_message():
    parser = FrameParser(4)
    parser.feed(b"\0\0\0\0\2a")

    assert parser.next_message() is None
    assert parser.in_message
