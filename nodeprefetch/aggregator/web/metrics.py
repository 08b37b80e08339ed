"""`/metrics`: image-prefetcher's JSON, or Prometheus metrics if the client accepts them."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.server.middleware import Receive, ResponseAbortedError, Scope, Send, address_of
from nodeprefetch.aggregator.web.legacy import legacy_json
from nodeprefetch.aggregator.web.service import Service

_JSON_TYPE = "text/plain; charset=utf-8"
"""The type that image-prefetcher sends, although it is JSON."""


async def metrics(service: Service, request: Request) -> Response:
    """Respond in the accepted format. Any method works like GET, as with image-prefetcher."""
    accept = ",".join(request.headers.getlist("accept"))
    address = address_of(request.scope)
    if wants_exposition(accept):
        from nodeprefetch.aggregator.web.exposition import exposition  # noqa: PLC0415 - takes 40 ms, and only Prometheus needs it

        body, content_type = await exposition(service, accept, address)
        return Response(body, headers={"content-type": content_type, "vary": "accept"})
    return _LegacyJson(service, legacy_json(service.store.database, service.lock, address))


class _LegacyJson(Response):
    """Has a Content-Length if there is only one part; otherwise holds one part at a time."""

    def __init__(self, service: Service, parts: AsyncGenerator[bytes]) -> None:
        super().__init__(media_type=_JSON_TYPE)
        self._service = service
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._parts) as parts:
            part, following = await anext(parts), await anext(parts, None)
            if following is None:
                await Response(part, media_type=_JSON_TYPE)(scope, receive, send)
                return
            headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while following is not None:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                part, following = following, None
                following = await self._next(parts)
            await send({"type": "http.response.body", "body": part})

    async def _next(self, parts: AsyncGenerator[bytes]) -> bytes | None:
        try:
            return await anext(parts, None)
        except sqlite3.Error as error:
            self._service.store.fail_reading(error)
            raise ResponseAbortedError("could not read the rest of the response") from error


def wants_exposition(accept: str) -> bool:
    """Whether an Accept header names a type of Prometheus metrics."""
    for choice in accept.lower().split(","):
        kind = choice.partition(";")[0].strip()
        if kind in {"text/plain", "application/openmetrics-text"}:
            return True
    return False
