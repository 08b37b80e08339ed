"""Asks an aggregator at an address that was given (`--aggregator`)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpcore
import trio

from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.http_backend import Backend
from nodeprefetch.submit.destination import Destination
from nodeprefetch.submit.endpoint import deepest_text, short

ANSWER_LIMIT = 15.0
"""Seconds for an answer."""

LARGEST_ANSWER = 64 << 20
"""Bytes."""


class AggregatorError(NodeprefetchError):
    """The aggregator did not answer what was asked."""


class DirectAggregator:
    """Sends GET requests. Created by `open_direct`.

    Args:
        pool: of httpcore.
        destination: the aggregator.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool, destination: Destination) -> None:
        self._pool = pool
        self._endpoint = destination.endpoint
        self._token = destination.token

    def __str__(self) -> str:
        return str(self._endpoint)

    async def get(self, path: str) -> bytes:
        """Return the body of the answer.

        Args:
            path: with the query, quoted.

        Raises:
            AggregatorError: the status is not 200, or there is no answer.
        """
        endpoint = self._endpoint
        url = httpcore.URL(
            scheme=endpoint.scheme.encode(),
            host=endpoint.host.encode(),
            port=endpoint.port,
            target=f"{endpoint.prefix}{path}".encode(),
        )
        token = self._token.token() if self._token else ""
        headers = [(b"Host", endpoint.authority.encode()), (b"Accept", b"application/json")]
        if token:
            headers.append((b"Authorization", b"Bearer " + token.encode()))
        body = bytearray()
        try:
            with trio.fail_after(ANSWER_LIMIT):
                async with self._pool.stream(b"GET", url, headers=headers) as response:
                    with trio.CancelScope() as reading:
                        async for part in response.aiter_stream():
                            body += part
                            if len(body) > LARGEST_ANSWER:
                                reading.cancel()  # ends httpcore's generators from inside
        except trio.TooSlowError:
            raise AggregatorError(f"{endpoint}: no answer in {ANSWER_LIMIT:g}s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise AggregatorError(f"{endpoint}: {deepest_text(error)}") from error
        if len(body) > LARGEST_ANSWER:
            raise AggregatorError(f"{endpoint}: the answer is larger than {LARGEST_ANSWER} bytes")
        if response.status != 200:  # noqa: PLR2004 (HTTP)
            text = short(body[:1024].decode(errors="replace"), token)
            raise AggregatorError(f"{endpoint}: HTTP status {response.status}{f': {text}' if text else ''}")
        return bytes(body)


@asynccontextmanager
async def open_direct(destination: Destination) -> AsyncGenerator[DirectAggregator]:
    """Open one connection, which is made when needed, kept, and closed at the end of the block."""
    tls = destination.tls
    if destination.endpoint.is_tls and tls is None:
        # The system's CA certificates and certifi's, in a thread: it takes 50 ms.
        tls = await trio.to_thread.run_sync(httpcore.default_ssl_context)
    async with httpcore.AsyncConnectionPool(ssl_context=tls, max_connections=2, network_backend=Backend()) as pool:
        yield DirectAggregator(pool, destination)
