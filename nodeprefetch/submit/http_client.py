"""Sends requests to an aggregator over HTTP, with its bearer token.

Imports httpcore, which is slow, so import this module only when there is something to send.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpcore
import trio

from nodeprefetch.http_backend import Backend
from nodeprefetch.submit.destination import Destination
from nodeprefetch.submit.endpoint import Endpoint


class HttpClient:
    """Sends requests. Created by `open_client`.

    Args:
        pool: of httpcore.
        destination: the aggregator.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool, destination: Destination) -> None:
        self._pool = pool
        self._destination = destination

    @property
    def endpoint(self) -> Endpoint:
        """The address of the aggregator."""
        return self._destination.endpoint

    def token(self) -> str:
        """The bearer token of now, for `stream` and for masking it in answers; empty if none is sent."""
        return self._destination.token.token() if self._destination.token else ""

    def stream(
        self,
        method: bytes,
        route: str,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        token: str,
        content: bytes | None = None,
    ) -> AbstractAsyncContextManager[httpcore.Response]:
        """Send a request. The block is given the answer, whose body it must read. Raises what httpcore raises.

        Args:
            method: of HTTP.
            route: the path after that of the endpoint, with the query, quoted.
            headers: beside Host and Authorization.
            token: see `token`.
            content: the body; None: nothing.
        """
        endpoint = self.endpoint
        url = httpcore.URL(
            scheme=endpoint.scheme.encode(),
            host=endpoint.host.encode(),
            port=endpoint.port,
            target=f"{endpoint.prefix}{route}".encode(),
        )
        sent = [(b"Host", endpoint.authority.encode()), *headers]
        if token:
            sent.append((b"Authorization", b"Bearer " + token.encode()))
        if content is not None:
            sent.append((b"Content-Length", str(len(content)).encode()))
        return self._pool.stream(method, url, headers=sent, content=content)


@asynccontextmanager
async def open_client(destination: Destination, *, connections: int = 1) -> AsyncGenerator[HttpClient]:
    """Open a client. Its connections are made when needed, kept, and closed at the end of the block.

    Args:
        destination: the aggregator.
        connections: at most so many at a time.
    """
    tls = destination.tls
    if destination.endpoint.is_tls and tls is None:
        # The system's CA certificates and certifi's, in a thread: it takes 50 ms.
        tls = await trio.to_thread.run_sync(httpcore.default_ssl_context)
    async with httpcore.AsyncConnectionPool(
        ssl_context=tls, max_connections=connections, network_backend=Backend()
    ) as pool:
        yield HttpClient(pool, destination)
