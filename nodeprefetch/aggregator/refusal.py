"""`RefusedError`, which has a status for HTTP and for gRPC; and JSON responses."""

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
    """Raised when a request is refused.

    Args:
        status: the HTTP status.
        reason: one of a few words, for programs and for the counter: `too_large`.
        detail: the message for people.
        retry_after: seconds to wait before retrying; None: the same request will be refused again.
    """

    def __init__(self, status: int, reason: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after

    def copy(self) -> "RefusedError":
        """Return an equal error, to be raised for another request."""
        return RefusedError(self.status, self.reason, self.detail, retry_after=self.retry_after)

    @property
    def grpc_status(self) -> Status:
        """The gRPC status. UNAVAILABLE means that retrying helps, https://grpc.io/docs/guides/status-codes/."""
        if self.reason in ("busy", "too_many_tokens"):
            return Status.UNAVAILABLE
        return _OF_HTTP.get(self.status, Status.UNKNOWN)


_CLOSING = frozenset({"too_slow", "too_many_connections", "two_lengths"})
"""Reasons after which an HTTP/1.1 connection is closed."""


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return anything that msgspec can encode, as JSON."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def refusal_response(error: RefusedError) -> Response:
    """Return `{"reason": …, "error": …}` with the headers that the status requires."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:  # noqa: PLR2004
        headers["www-authenticate"] = "Bearer"
    if error.reason in _CLOSING:
        headers["connection"] = "close"
    return json_response({"reason": error.reason, "error": error.detail}, error.status, headers)
