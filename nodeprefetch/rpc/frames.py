"""Length-prefixed gRPC messages: from received bytes to whole messages. No I/O.

A message on the wire is one byte of flags, four bytes of length, big-endian, and that many bytes
(https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message").
"""

from struct import Struct

from nodeprefetch.errors import CompressedMessageError, ProtocolViolationError

_PREFIX = Struct(">BI")


def frame_message(message: bytes) -> bytes:
    """Add the prefix to an uncompressed message."""
    return _PREFIX.pack(0, len(message)) + message


class FrameParser:
    """Collects bytes, and splits them into messages.

    Args:
        max_message: size limit of a message, in bytes.
    """

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buffer = bytearray()

    @property
    def in_message(self) -> bool:
        """Whether an incomplete message has been received."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next_message(self) -> bytes | None:
        """Return the next whole message, or None.

        Raises:
            CompressedMessageError: it is compressed, which was not negotiated. Raised again each time.
            ProtocolViolationError: it is larger than `max_message`, as its prefix says. Raised again each time.
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
