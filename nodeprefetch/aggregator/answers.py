"""JSON answers, those that refuse among them."""

from typing import Any

import msgspec
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError

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
