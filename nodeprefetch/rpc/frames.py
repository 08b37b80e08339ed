"""Length-prefixed gRPC messages: bytes as they come in, whole messages out. No I/O.

A message on the wire is one byte of flags, four bytes of length, big-endian, and that many bytes
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message").
"""

from struct import Struct

from nodeprefetch.errors import CompressedMessageError, ProtocolViolationError

_PREFIX = Struct(">BI")


def frame_message(message: bytes) -> bytes:
    """One uncompressed message as it goes onto the wire."""
    return _PREFIX.pack(0, len(message)) + message


class FrameParser:
    """Collects bytes and gives out the messages in them.

    Args:
        max_message: the largest message accepted, in bytes.
    """

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buffer = bytearray()

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in bytes, split anywhere."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, or None until there is one.

        Raises:
            CompressedMessageError: it is compressed, which we never offer to accept. Stays raised.
            ProtocolViolationError: it is larger than `max_message`, which is seen before it is collected. Stays raised.
        """
        if len(self._buffer) < _PREFIX.size:
            return None
        flags, size = _PREFIX.unpack_from(self._buffer)
        if flags:
            raise CompressedMessageError(
                f"received a message with flags {flags:#04x}, although compression was not negotiated"
            )
        if size > self._max_message:
            raise ProtocolViolationError(
                f"received a message of {size} bytes, larger than the limit of {self._max_message}"
            )
        end = _PREFIX.size + size
        if len(self._buffer) < end:
            return None
        message = bytes(memoryview(self._buffer)[_PREFIX.size : end])
        del self._buffer[:end]
        return message
