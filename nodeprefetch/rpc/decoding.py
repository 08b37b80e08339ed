"""Decodes messages, and refuses what would cost more than its size: whoever sends it must not hold Trio's thread.

betterproto2 keeps the fields of a message that it does not know, for when the message is sent on, by concatenation: a
megabyte of them took half a minute. Nothing here is sent on, so they are dropped, for all messages of the process.
"""

from typing import Final

import betterproto2

from nodeprefetch.errors import ProtocolViolationError
from nodeprefetch.rpc.message import Message, Reply

MOST_UNKNOWN: Final = 10_000
"""Unknown fields of one message, those of messages in it not counted."""

SMALL: Final = 64 * 1024
"""Bytes of an answer that has room for some names only."""

_SMALL_ANSWERS = {"Empty", "PullImageResponse", "RemoveImageResponse", "VersionResponse"}


def largest(reply_type: type[Message], max_message: int) -> int:
    """Bytes of the largest message accepted as an answer of that type, where none may be larger than `max_message`."""
    return min(max_message, SMALL) if reply_type.__name__ in _SMALL_ANSWERS else max_message


def decode(reply_type: type[Reply], message: bytes) -> Reply:
    """The message in these bytes, without unknown fields.

    Raises:
        ProtocolViolationError: it is not a message of that type, or has more than `MOST_UNKNOWN` unknown fields.
    """
    try:
        return reply_type.FromString(message)
    except Exception as exc:
        name = reply_type.__name__
        raise ProtocolViolationError(f"invalid {name} message of {len(message)} bytes") from exc


class _Dropped:
    """Takes the place of the attribute that betterproto2 adds unknown fields to. Always empty; counts what comes."""

    def __get__(self, message: betterproto2.Message | None, owner: type | None = None) -> bytes:
        return b""

    def __set__(self, message: betterproto2.Message, field: bytes) -> None:
        count: int = message.__dict__.get("_unknown_fields", 0)
        if field:
            tag, _ = betterproto2.decode_varint(field, 0)
            count += 1
            if not tag >> 3 or count > MOST_UNKNOWN:
                raise ValueError("invalid field number 0" if not tag >> 3 else "too many unknown fields")
        message.__dict__["_unknown_fields"] = count


betterproto2.Message._unknown_fields = _Dropped()  # type: ignore[assignment]  # noqa: SLF001 - it has no switch for it
