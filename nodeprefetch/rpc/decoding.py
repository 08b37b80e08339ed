"""Decodes messages, and limits the time for that: no sender may block Trio's thread.

betterproto2 keeps unknown fields of a message by concatenation, in case it is forwarded: one megabyte took half a
minute. Nothing is forwarded here, so unknown fields are dropped, for all messages of the process.
"""

from typing import Final

import betterproto2

from nodeprefetch.errors import ProtocolViolationError
from nodeprefetch.rpc.message import Message, Reply

MOST_UNKNOWN: Final = 10_000
"""Unknown fields of one message, without those of nested messages."""

SMALL: Final = 64 * 1024
"""Size limit of responses that only have a few names, in bytes."""

_SMALL_ANSWERS = {"Empty", "PullImageResponse", "RemoveImageResponse", "VersionResponse"}


def largest(reply_type: type[Message], max_message: int) -> int:
    """Return the size limit of responses of a type, in bytes; at most `max_message`."""
    return min(max_message, SMALL) if reply_type.__name__ in _SMALL_ANSWERS else max_message


def decode(reply_type: type[Reply], message: bytes) -> Reply:
    """Decode a message, without unknown fields.

    Raises:
        ProtocolViolationError: the message is invalid, or has more than `MOST_UNKNOWN` unknown fields.
    """
    try:
        return reply_type.FromString(message)
    except Exception as exc:
        name = reply_type.__name__
        raise ProtocolViolationError(f"invalid {name} message of {len(message)} bytes") from exc


class _Dropped:
    """Replaces the attribute to which betterproto2 adds unknown fields. Always empty; counts them."""

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
