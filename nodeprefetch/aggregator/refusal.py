"""What a client is told when it is not given what it wants: one error, a status for HTTP and one for gRPC."""

from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.rpc import Status

_OF_HTTP = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    405: Status.UNIMPLEMENTED,
    408: Status.DEADLINE_EXCEEDED,
    413: Status.RESOURCE_EXHAUSTED,
    415: Status.UNIMPLEMENTED,
    429: Status.RESOURCE_EXHAUSTED,
    503: Status.UNAVAILABLE,
}


class RefusedError(NodeprefetchError):
    """A request is refused.

    Args:
        status: of HTTP.
        reason: a word of few, for programs and for the counter: `too_large`.
        detail: a sentence for people.
        retry_after: seconds to wait before the next try; None: the same request will be refused again.
    """

    def __init__(self, status: int, reason: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after

    def again(self) -> "RefusedError":
        """The same for another request."""
        return RefusedError(self.status, self.reason, self.detail, retry_after=self.retry_after)

    @property
    def grpc_status(self) -> Status:
        """The same for gRPC. UNAVAILABLE says that trying again helps, https://grpc.io/docs/guides/status-codes/."""
        if self.reason in ("busy", "too_many_tokens"):
            return Status.UNAVAILABLE
        return _OF_HTTP.get(self.status, Status.UNKNOWN)
