"""The interface of messages."""

from typing import Protocol, Self, TypeVar


class Message(Protocol):
    """A message as betterproto2 and google.protobuf generate them."""

    def SerializeToString(self) -> bytes:  # noqa: N802 (their name)
        """Encode the message in protobuf's wire format."""
        ...

    @classmethod
    def FromString(cls, s: bytes, /) -> Self:  # noqa: N802 (their name)
        """Decode a message."""
        ...


Reply = TypeVar("Reply", bound=Message)
