"""`/metrics`: the older tool's JSON, or Prometheus' exposition for who asks for it."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.server.asgi import AnswerCutError, Receive, Scope, Send, address_of
from nodeprefetch.aggregator.web.legacy import older_json
from nodeprefetch.aggregator.web.service import Service

_JSON_TYPE = "text/plain; charset=utf-8"
"""What the older tool says, though it is JSON."""


async def metrics(service: Service, request: Request) -> Response:
    """Answer by what is accepted; any method is as good as GET, as with the older tool."""
    accept = ",".join(request.headers.getlist("accept"))
    address = address_of(request.scope)
    if wants_exposition(accept):
        from nodeprefetch.aggregator.web.exposition import exposition  # noqa: PLC0415 - 40 ms, for whom Prometheus reads

        body, content_type = await exposition(service, accept, address)
        return Response(body, headers={"content-type": content_type, "vary": "accept"})
    return _OlderJson(service, older_json(service.store.database, service.turns, address))


class _OlderJson(Response):
    """Has a Content-Length where one part is all; keeps one part at a time."""

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
            raise AnswerCutError("the rest of the answer could not be read") from error


def wants_exposition(accept: str) -> bool:
    """Whether an Accept header names a type that Prometheus reads, before any wildcard or JSON."""
    for choice in accept.lower().split(","):
        kind = choice.partition(";")[0].strip()
        if kind in {"text/plain", "application/openmetrics-text"}:
            return True
    return False
