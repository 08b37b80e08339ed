"""The errors of this program. Each class exists because some `except` treats it differently."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class NodeprefetchError(Exception):
    """Base class of all errors raised on purpose. Their messages are for users and contain no secrets."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in an exception group, at any depth and in order; or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


class UsageError(NodeprefetchError):
    """Invalid input of the user: flags, image lists, secrets, configuration. Nothing was pulled.

    Args:
        problems: one message each; all problems, not only the first.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Problems:
    """Collects problems with the user's input, to report them all at once."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect a `UsageError` raised in the block, and continue after it. Drops what is known already."""
        try:
            yield
        except UsageError as error:
            self._problems += [problem for problem in error.problems if problem not in self._problems]

    def add(self, *problems: str) -> None:
        """Add problems."""
        self._problems += problems

    @property
    def first(self) -> str:
        """The first problem; empty if there is none."""
        return self._problems[0] if self._problems else ""

    def raise_if_any(self) -> None:
        """Raise a `UsageError` with all problems, if there are any."""
        if self._problems:
            raise UsageError(self._problems)


class RuntimeUnavailableError(NodeprefetchError):
    """No container runtime answered at the CRI socket in time."""


class NoAccessError(NodeprefetchError):
    """The cluster cannot be asked: there is no login, the API server does not answer, or a permission is missing.

    Args:
        text: what was tried, what came back.
        check: a command that shows whether the permission is there; empty if it is not about one.
    """

    def __init__(self, text: str, *, check: str = "") -> None:
        super().__init__(f"{text}\ncheck with: {check}" if check else text)
        self.text = text
        self.check = check

    @property
    def on_one_line(self) -> str:
        """The message as a part of another one."""
        return f"{self.text} (check with: {self.check})" if self.check else self.text


class RpcError(NodeprefetchError):
    """A call failed without an answer: the connection, the stream or the protocol failed.

    If the server answers with an error, `nodeprefetch.rpc.GRPCError` is raised instead.
    """


class NotConnectedError(RpcError):
    """Could not connect to the address. The cause is the `OSError`."""


class ConnectionLostError(RpcError):
    """The connection broke during a call. It is unknown whether the server carried it out."""


class StreamResetError(RpcError):
    """The server cancelled this call (RST_STREAM). The connection remains usable.

    Args:
        message: text for users.
        code: the HTTP/2 error code, RFC 9113 section 7.
    """

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class ProtocolViolationError(RpcError):
    """The answer is not valid gRPC: an invalid frame, unexpected compression, or a message that is too large."""


class CompressedMessageError(ProtocolViolationError):
    """A message is compressed, but no compression was negotiated."""
