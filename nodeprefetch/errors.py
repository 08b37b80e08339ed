"""The errors of this program: few classes, each one because some `except` treats it differently."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class NodeprefetchError(Exception):
    """Everything we raise on purpose. Its text is fit for a person and holds no secret."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in an exception group, however deep, in their order; of any other error, itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


class UsageError(NodeprefetchError):
    """What the user gave cannot be used: flags, image lists, secrets, configuration. Nothing was pulled.

    Args:
        problems: one sentence each; all that is wrong, not the first thing only.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Problems:
    """Collects what is wrong with what the user gave, so that it is said all at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep a `UsageError` raised inside, and go on behind the block."""
        try:
            yield
        except UsageError as error:
            self._found.extend(error.problems)

    def add(self, problem: str) -> None:
        """One more."""
        self._found.append(problem)

    def raise_if_any(self) -> None:
        """Raise `UsageError` with all of them."""
        if self._found:
            raise UsageError(self._found)


class RuntimeUnavailableError(NodeprefetchError):
    """No container runtime answered at the CRI socket within the grace given."""


class RpcError(NodeprefetchError):
    """A call did not come to its end: the connection, the stream or the protocol failed below the answer.

    An answer of the server, also one that says no, is not this: that is `nodeprefetch.rpc.GRPCError`.
    """


class NotConnectedError(RpcError):
    """Nobody could be reached at the address; the cause is the `OSError`."""


class ConnectionLostError(RpcError):
    """The connection went away before the call ended: whether it was carried out is not known."""


class StreamResetError(RpcError):
    """The server gave up this one call (RST_STREAM); the connection lives on.

    Args:
        message: what to tell a person.
        code: the HTTP/2 error code, RFC 9113 section 7.
    """

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class ProtocolViolationError(RpcError):
    """What came is not gRPC as we know it: a bad frame, compression nobody asked for, a message too large."""


class CompressedMessageError(ProtocolViolationError):
    """A message is compressed, though no compression was agreed on."""
