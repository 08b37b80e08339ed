"""One request to the API server and its answer, which is bounded in bytes and in time.

The client's own way reads whatever comes, and quotes all of it in its errors.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PART = 64 << 10


class AnswerTooLargeError(ValueError):
    """Raised when an answer has more bytes than it may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def exchange(  # noqa: PLR0917 - as the client's `request` is called
    pool: Any,
    limit: int,
    method: str,
    url: str,
    query_params: object = None,  # noqa: ARG001 - we have none
    headers: Mapping[str, str] | None = None,
    post_params: object = None,  # noqa: ARG001 - we have none
    body: object = None,
    _preload_content: object = None,
    _request_timeout: float = 30.0,
) -> Answer:
    """Send a request by a pool of urllib3; in place of `ApiClient.request`, with its parameters after these two.

    Args:
        pool: urllib3's `PoolManager`.
        limit: bytes the answer may have. It is taken as it comes: a compressed one is not unpacked.
        method: of HTTP.
        url: complete.
        query_params: not used.
        headers: of the request.
        post_params: not used.
        body: sent as JSON; None: nothing.

    Raises:
        AnswerTooLargeError: it has more.
        TimeoutError: it did not come to its end in time, though bytes kept coming.
        urllib3.exceptions.HTTPError: there was no answer.
    """
    ends = time.monotonic() + _request_timeout
    response = pool.request(
        method,
        url,
        body=None if body is None else json.dumps(body),
        headers=headers,
        timeout=_request_timeout,
        preload_content=False,
        decode_content=False,
    )
    try:
        read = _read(response, limit, ends)
    except BaseException:
        response.close()  # with the rest of its answer the connection is of no use to the next request
        raise
    response.release_conn()
    return Answer(status=response.status, reason=response.reason or "", headers=response.headers, body=read)


def _read(response: Any, limit: int, ends: float) -> bytes:
    read = bytearray()
    while part := response.read1(_PART):
        read += part
        if len(read) > limit:
            raise AnswerTooLargeError(f"the answer is larger than {limit} bytes")
        if time.monotonic() > ends:
            raise TimeoutError("the answer did not come to its end in time")
    return bytes(read)
