"""The older tool's `Result` off the wire: a decoder of this one message.

`nodeprefetch.rpc.metrics.Result` decodes the same in 20 to 30 µs, most of what a result costs here; this takes a fifth
(docs/adr/0010-aggregator.md). https://protobuf.dev/programming-guides/encoding/.
"""

import msgspec

_LONGEST_VARINT = 10
_TEXTS = frozenset({1, 3, 4, 6})
_NUMBERS = frozenset({2, 5, 7})


class OlderResult(msgspec.Struct, frozen=True):
    """One pull attempt, as the older tool tells of it: proto/metrics.proto, in the order of the numbers."""

    attempt_id: str = ""
    started_at: int = 0
    """Unix seconds."""

    image: str = ""
    error: str = ""
    duration_ms: int = 0
    node: str = ""
    size_bytes: int = 0


def decode_result(data: bytes) -> OlderResult:
    """Decode a message. Fields of other numbers or types are passed over, as protobuf wants it.

    Raises:
        ValueError: it is no message.
    """
    values: list[str | int] = ["", 0, "", "", 0, "", 0]
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError("a field with the number 0")
        if kind == 2:  # noqa: PLR2004 - LEN
            size, position = _varint(data, position)
            stop = position + size
            if number in _TEXTS and stop <= end:
                values[number - 1] = data[position:stop].decode()  # a UnicodeDecodeError is a ValueError
            position = stop
        elif kind == 0:  # VARINT
            value, position = _varint(data, position)
            if number in _NUMBERS:
                values[number - 1] = value
        elif kind in {1, 5}:  # I64, I32
            position += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the wire type {kind}")
    if position > end:
        raise ValueError("a field that ends behind the message")
    started_at = values[1]
    if isinstance(started_at, int) and started_at >= 1 << 63:
        values[1] = started_at - (1 << 64)
    return OlderResult(*values)  # type: ignore[arg-type] # each is of its kind


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number there, at most 64 bits of it, and the place behind it."""
    try:
        first = data[position]
        if first < 0x80:  # noqa: PLR2004 - the last byte
            return first, position + 1
        value, shift = first & 0x7F, 7
        for index in range(position + 1, position + _LONGEST_VARINT):
            byte = data[index]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004
                return value & 0xFFFF_FFFF_FFFF_FFFF, index + 1
            shift += 7
    except IndexError:
        raise ValueError("a message that ends within a number") from None
    raise ValueError("a number of more than ten bytes")
