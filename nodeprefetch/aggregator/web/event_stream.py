"""Responses with server-sent events: bounded in number, and closed with their readers.

https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.server.middleware import Receive, Scope, Send, address_of
from nodeprefetch.aggregator.web.service import Service

MEDIA_TYPE = "text/event-stream"

KEEPALIVE = 15.0
"""Seconds after which a comment keeps the connection open; proxies close silent ones."""

QUIET = b": quiet\n\n"
"""That comment."""

BUSY = 1.0
"""Seconds until a reader retries after the budget was used up."""

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def event_stream(service: Service, request: Request, messages: AsyncGenerator[bytes, None]) -> Response:
    """Return a response that streams messages; the headers alone if the request is for those.

    Args:
        service: its readers are counted, and its store is told if the database cannot be read.
        request: the request.
        messages: parts of messages; closed at the end.
    """
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    return _Stream(service, messages, _HEADERS)


class _Stream(StreamingResponse):
    """Counts as a reader from its acceptance until it ends in any way."""

    media_type = MEDIA_TYPE

    def __init__(self, service: Service, messages: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        self._service = service
        self._messages = messages
        self._parts = self._until_failure()
        super().__init__(self._parts, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        readers, address = self._service.readers, address_of(scope)
        if not readers.take(address):
            retry_after = self._service.bounds.retry_after
            raise RefusedError(429, "too_many_readers", "too many live readers", retry_after=retry_after)
        try:
            async with aclosing(self._parts):
                await super().__call__(scope, receive, send)
        finally:
            readers.release(address)

    async def _until_failure(self) -> AsyncGenerator[bytes, None]:
        yield b"retry: 2000\n\n"
        try:
            async with aclosing(self._messages) as messages:
                async for part in messages:
                    yield part
        except sqlite3.Error as error:
            self._service.store.fail_reading(error)
