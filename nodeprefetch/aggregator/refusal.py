"""Refusals: one error with a status for HTTP and one for gRPC; and JSON answers."""

from typing import Any

import msgspec
from starlette.responses import Response

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


_LAST = frozenset({"too_slow", "too_many_connections", "two_lengths"})
"""Reasons after which an HTTP/1.1 connection is closed."""


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Anything msgspec can write, as JSON."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def refusal_answer(error: RefusedError) -> Response:
    """`{"reason": …, "error": …}`, with what the status asks for beside it."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:  # noqa: PLR2004
        headers["www-authenticate"] = "Bearer"
    if error.reason in _LAST:
        headers["connection"] = "close"
    return json_answer({"reason": error.reason, "error": error.detail}, error.status, headers)
