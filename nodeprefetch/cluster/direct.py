"""Asks an aggregator at an address that was given (`--aggregator`)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpcore
import trio

from nodeprefetch.errors import NodeprefetchError
from nodeprefetch.submit.destination import Destination
from nodeprefetch.submit.endpoint import deepest_text, short
from nodeprefetch.submit.http_client import HttpClient, open_client

ANSWER_LIMIT = 15.0
"""Seconds for an answer."""

LARGEST_ANSWER = 64 << 20
"""Bytes."""


class AggregatorError(NodeprefetchError):
    """The aggregator did not answer what was asked."""


class DirectAggregator:
    """Sends GET requests. Created by `open_direct`.

    Args:
        client: sends the requests.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def __str__(self) -> str:
        return str(self._client.endpoint)

    async def get(self, path: str) -> bytes:
        """Return the body of the answer.

        Args:
            path: with the query, quoted.

        Raises:
            AggregatorError: the status is not 200, or there is no answer.
        """
        token = self._client.token()
        headers = [(b"Accept", b"application/json")]
        body = bytearray()
        try:
            with trio.fail_after(ANSWER_LIMIT):
                async with self._client.stream(b"GET", path, headers, token=token) as response:
                    with trio.CancelScope() as reading:
                        async for part in response.aiter_stream():
                            body += part
                            if len(body) > LARGEST_ANSWER:
                                reading.cancel()  # ends httpcore's generators from inside
        except trio.TooSlowError:
            raise AggregatorError(f"{self}: no answer in {ANSWER_LIMIT:g}s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise AggregatorError(f"{self}: {deepest_text(error)}") from error
        if len(body) > LARGEST_ANSWER:
            raise AggregatorError(f"{self}: the answer is larger than {LARGEST_ANSWER} bytes")
        if response.status != 200:  # noqa: PLR2004 (HTTP)
            text = short(body[:1024].decode(errors="replace"), token)
            raise AggregatorError(f"{self}: HTTP status {response.status}{f': {text}' if text else ''}")
        return bytes(body)


@asynccontextmanager
async def open_direct(destination: Destination) -> AsyncGenerator[DirectAggregator]:
    """Open connections, which are made when needed, kept, and closed at the end of the block."""
    async with open_client(destination, connections=2) as client:
        yield DirectAggregator(client)
