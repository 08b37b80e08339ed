"""Sends requests to an aggregator over HTTP, such as events: `POST /v1/events`, one msgpack batch per request.

Imports httpcore, which is slow, so import this module only when there is something to send.
"""

import gzip
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpcore
import msgspec
import trio

from nodeprefetch.batch import Batch
from nodeprefetch.submit.destination import Destination
from nodeprefetch.submit.endpoint import deepest_text, short
from nodeprefetch.submit.http_client import HttpClient, open_client
from nodeprefetch.submit.retry import (
    Accepted,
    DeliveryResult,
    Rejected,
    Unavailable,
    Undeliverable,
    UnsupportedProtocol,
)

ROUTE = "/v1/events"
COMPRESS_ABOVE = 1024
"""Bytes. Below that gzip saves no packet."""

_KEPT_TEXT = 1024
"""Bytes of a response body to keep; the rest is read and dropped."""

_BODY_LIMIT = 1.0
"""Seconds for reading a response body after its status."""

_BUSY = {408, 425, 429}
_UNSUPPORTED = {404, 405, 426, 505}
"""The server does not know the route, the method or the version of HTTP."""


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    body: bytes
    """The first 1024 bytes."""

    shown: str
    """Its text for the log: in short, without the token."""


class Poster:
    """Sends POST requests to an aggregator. Created by `open_poster`.

    Args:
        client: sends the requests.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def post(
        self, route: str, content_type: bytes, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> HttpAnswer:
        """Send a request with the bearer token, and read the answer. Raises what httpcore raises."""
        token = self._client.token()
        sent = [(b"Content-Type", content_type), *headers]
        async with self._client.stream(b"POST", route, sent, token=token, content=body) as response:
            content = await _beginning(response)
        text = short(content.decode(errors="replace"), token)
        return HttpAnswer(status=response.status, headers=response.headers, body=content, shown=text)


class HttpTransport:
    """Sends batches.

    Args:
        poster: sends the requests.
    """

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def deliver(self, batch: Batch) -> DeliveryResult:
        """Send a batch; `result_for` explains the status."""
        try:
            body = msgspec.msgpack.encode(batch)
        except UnicodeEncodeError:
            return Undeliverable("contains invalid Unicode")
        headers = []
        if len(body) > COMPRESS_ABOVE:
            body = gzip.compress(body, 1, mtime=0)
            headers.append((b"Content-Encoding", b"gzip"))
        try:
            answer = await self._poster.post(ROUTE, b"application/msgpack", body, headers)
        except httpcore.RemoteProtocolError as error:
            # Either the response is not HTTP/1.1, such as HTTP/2 frames. Or there is none: gRPC servers close the
            # connection on anything but HTTP/2, but so does a server that is killed.
            certain = isinstance(error.args[0], Exception)  # else httpcore's own text for the end of the stream
            text = "the response is not HTTP/1.1" if certain else "closed the connection without a response"
            return UnsupportedProtocol(text, certain=certain)
        except (httpcore.ReadError, httpcore.WriteError) as error:
            return UnsupportedProtocol(f"connection lost: {deepest_text(error)}", certain=False)
        except httpcore.NetworkError as error:
            return Unavailable(f"cannot connect: {deepest_text(error)}")
        return result_for(answer, now=datetime.now(UTC))


class _Receipt(msgspec.Struct):
    """The body of a response that acknowledges a batch, as far as it is needed."""

    progress_interval: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def result_for(answer: HttpAnswer, *, now: datetime) -> DeliveryResult:
    """Return what an answer means for a batch.

    Args:
        answer: of its headers only `Retry-After` is used.
        now: the time that a date in `Retry-After` is compared with.
    """
    status, headers = answer.status, answer.headers
    shown = f"HTTP status {status}" + (f": {answer.shown}" if answer.shown else "")
    match status:
        case _ if 200 <= status < 300:  # noqa: PLR2004 (HTTP)
            try:
                return Accepted(msgspec.json.decode(answer.body, type=_Receipt).progress_interval)
            except (ValueError, RecursionError):  # whatever it says: the batch has arrived
                return Accepted()
        case 413:
            return Undeliverable(shown)
        case _ if status in _UNSUPPORTED:
            return UnsupportedProtocol(shown)
        case _ if status >= 500 or status in _BUSY:  # noqa: PLR2004 (HTTP)
            values = [value for name, value in headers if name.lower() == b"retry-after"]
            return Unavailable(shown, parse_retry_after(values[0].decode("ascii", "replace"), now) if values else None)
        case _:
            return Rejected(shown)


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header, RFC 9110 section 10.2.3; None if it is neither a number nor a date."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


@asynccontextmanager
async def open_poster(destination: Destination) -> AsyncGenerator[Poster]:
    """Open a poster over one connection, which is made when needed, kept, and closed at the end of the block."""
    async with open_client(destination) as client:
        yield Poster(client)


async def _beginning(response: httpcore.Response) -> bytes:
    """Read the whole body, so that the connection can be kept, but not for long. Returns its first bytes."""
    kept = b""
    with trio.move_on_after(_BODY_LIMIT), suppress(httpcore.NetworkError, httpcore.ProtocolError):
        async for part in response.aiter_stream():
            kept += part[: _KEPT_TEXT - len(kept)]
    return kept
