"""Our stream to the aggregator: `POST /v1/events`, one batch of msgpack a request, over one kept connection.

The only module that imports httpcore, which takes a while: it is imported when there is something to send.
"""

import gzip
import ssl
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import msgspec
import trio

from nodeprefetch.events import Batch
from nodeprefetch.submit.endpoint import Endpoint, deepest_text, short
from nodeprefetch.submit.retry import Accepted, Answer, Foreign, Refused, Unavailable, Unfit
from nodeprefetch.text.token_file import TokenFile

ROUTE = "/v1/events"
COMPRESS_ABOVE = 1024
"""Bytes. Below that gzip saves no packet."""

_KEPT_TEXT = 1024
"""Bytes of an answer that are looked at; the rest is read and forgotten."""

_BODY_LIMIT = 1.0
"""Seconds for the rest of an answer whose status is known already."""

_BUSY = {408, 425, 429}
_NOT_SPOKEN = {404, 405, 426, 505}
"""What a server answers that knows no such route, method or version of HTTP."""


class HttpDelivery:
    """Takes batches over a pool of one connection. Made by `open_http`.

    Args:
        pool: httpcore's.
        endpoint: where the aggregator is.
        token: goes along as bearer token.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool, endpoint: Endpoint, token: TokenFile | None) -> None:
        self._pool = pool
        self._url = httpcore.URL(
            scheme=endpoint.scheme.encode(),
            host=endpoint.host.encode(),
            port=endpoint.port,
            target=f"{endpoint.prefix}{ROUTE}".encode(),
        )
        self._host = endpoint.authority.encode()
        self._token = token

    async def deliver(self, batch: Batch) -> Answer:
        """Send it; see `answer_for` for what the status means."""
        try:
            body = msgspec.msgpack.encode(batch)
        except UnicodeEncodeError:
            return Unfit("it is not valid text")
        headers = [(b"Host", self._host), (b"Content-Type", b"application/msgpack")]
        if len(body) > COMPRESS_ABOVE:
            body = gzip.compress(body, 1, mtime=0)
            headers.append((b"Content-Encoding", b"gzip"))
        token = self._token.token() if self._token else ""
        if token:
            headers.append((b"Authorization", b"Bearer " + token.encode()))
        headers.append((b"Content-Length", str(len(body)).encode()))
        try:
            async with self._pool.stream(b"POST", self._url, headers=headers, content=body) as response:
                text = await _beginning(response)
        except httpcore.RemoteProtocolError as error:
            # An answer that is no HTTP/1.1, as an HTTP/2 server's frames are; or none at all, as gRPC's servers
            # hang up at what is no HTTP/2, and as a server does that dies.
            certain = isinstance(error.args[0], Exception)  # else httpcore's own words for an end of the stream
            return Foreign("the answer is not HTTP/1.1" if certain else "hung up without an answer", certain=certain)
        except (httpcore.ReadError, httpcore.WriteError) as error:
            return Foreign(f"the connection broke: {deepest_text(error)}", certain=False)
        except httpcore.NetworkError as error:
            return Unavailable(f"cannot connect: {deepest_text(error)}")
        return answer_for(response.status, response.headers, short(text, token), now=datetime.now(UTC))


def answer_for(status: int, headers: Iterable[tuple[bytes, bytes]], text: str, *, now: datetime) -> Answer:
    """What a status means for a batch.

    Args:
        status: HTTP's.
        headers: of the answer; `Retry-After` is looked at.
        text: the beginning of the answer's body, for a person.
        now: what a date in `Retry-After` is measured from.
    """
    said = f"HTTP status {status}" + (f": {text}" if text else "")
    match status:
        case _ if 200 <= status < 300:  # noqa: PLR2004 (HTTP)
            return Accepted()
        case 413:
            return Unfit(said)
        case _ if status in _NOT_SPOKEN:
            return Foreign(said)
        case _ if status >= 500 or status in _BUSY:  # noqa: PLR2004 (HTTP)
            wishes = [value for name, value in headers if name.lower() == b"retry-after"]
            return Unavailable(said, parse_retry_after(wishes[0].decode("ascii", "replace"), now) if wishes else None)
        case _:
            return Refused(said)


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Seconds from a `Retry-After` header, RFC 9110 section 10.2.3; None where it is neither a number nor a date."""
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


async def system_trust() -> ssl.SSLContext:
    """Whom to trust by default: the system's authorities and certifi's. Takes 50 ms of a thread."""
    return await trio.to_thread.run_sync(httpcore.default_ssl_context)


@asynccontextmanager
async def open_http(
    endpoint: Endpoint, *, tls: ssl.SSLContext | None, token: TokenFile | None
) -> AsyncGenerator[HttpDelivery]:
    """A delivery over one connection that is opened when needed, kept, and closed at the block's end.

    Args:
        endpoint: where the aggregator is.
        tls: whom to trust, for https.
        token: goes along as bearer token.
    """
    pool = httpcore.AsyncConnectionPool(ssl_context=tls, max_connections=1, network_backend=_Backend())
    async with pool:
        yield HttpDelivery(pool, endpoint, token)


async def _beginning(response: httpcore.Response) -> str:
    """The first bytes of the body. All of it is read, so that the connection can be kept, but not for long."""
    kept = b""
    with trio.move_on_after(_BODY_LIMIT), suppress(httpcore.NetworkError, httpcore.ProtocolError):
        async for part in response.aiter_stream():
            kept += part[: _KEPT_TEXT - len(kept)]
    return kept.decode(errors="replace")


class _Backend(httpcore.TrioBackend):
    """httpcore's own, but a TLS handshake that is cancelled leaves no open socket behind."""

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(*args, **kwargs))


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (httpcore's interface)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(*args, **kwargs)
        except trio.Cancelled:
            await self._stream.aclose()  # closes at once: it is cancelled
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
