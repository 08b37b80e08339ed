"""`/metrics`: the older tool's JSON, or Prometheus' exposition for who asks for it."""

import sqlite3
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nodeprefetch.aggregator.asgi import AnswerCutError
from nodeprefetch.aggregator.older import older_json
from nodeprefetch.aggregator.service import Service

_WHOLE = 4 << 20
"""Bytes up to which the answer is made before it is sent, and has a Content-Length."""

_JSON_TYPE = "text/plain; charset=utf-8"
"""What the older tool says, though it is JSON."""


async def metrics(service: Service, request: Request) -> Response:
    """Answer by what is accepted; any method is as good as GET, as with the older tool."""
    accept = ",".join(request.headers.getlist("accept"))
    if wants_exposition(accept):
        from nodeprefetch.aggregator.exposition import exposition  # noqa: PLC0415 - 40 ms, for whom Prometheus reads

        body, content_type = await exposition(service, accept)
        return Response(body, headers={"content-type": content_type, "vary": "accept"})
    parts = older_json(service.store.database)
    begun: list[bytes] = []
    size = 0
    async for part in parts:
        begun.append(part)
        size += len(part)
        if size > _WHOLE:
            return StreamingResponse(_resumed(service, begun, parts), headers={"content-type": _JSON_TYPE})
    return Response(b"".join(begun), headers={"content-type": _JSON_TYPE})


def wants_exposition(accept: str) -> bool:
    """Whether an Accept header names a type that Prometheus reads, before any wildcard or JSON."""
    for choice in accept.lower().split(","):
        kind = choice.partition(";")[0].strip()
        if kind in {"text/plain", "application/openmetrics-text"}:
            return True
    return False


async def _resumed(service: Service, begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(begun)
    try:
        async for part in rest:
            yield part
    except sqlite3.Error as error:
        service.store.fail_reading(error)
        raise AnswerCutError("the rest of the answer could not be read") from error
