"""`GET /v1/events`: streams stored events as server-sent events; clients that reconnect continue where they were.

https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import re
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing

import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.server.middleware import Receive, Scope, Send, address_of
from nodeprefetch.aggregator.store.backlog import GAP
from nodeprefetch.aggregator.web.service import Service

_KEEPALIVE = 15.0
"""Seconds after which a comment keeps the connection open; proxies close silent ones."""

_BUSY = 1.0
"""Seconds until a reader retries after the budget was used up."""

_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,9})")


async def live(service: Service, request: Request) -> Response:
    """Stream events from now on, or those after the event that `Last-Event-ID` names.

    Each message has the event's name, the ID `row-index`, and as data the event with `run_id`, `node`, `instance` and
    `version` of its run. A message `gap` means that events in between are no longer kept.

    Raises:
        RefusedError: an invalid ID, or too many readers.
    """
    name = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    after = _parse_id(name) if name else None
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return _Stream(service, _stream(service, after), headers)


class _Stream(StreamingResponse):
    """Counts as a reader from its acceptance until it ends in any way."""

    media_type = "text/event-stream"

    def __init__(self, service: Service, parts: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(parts, headers=headers)
        self._service = service
        self._parts = parts

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


async def _stream(service: Service, after: tuple[int, int] | None) -> AsyncGenerator[bytes, None]:
    yield b"retry: 2000\n\n"
    try:
        async with aclosing(_messages(service, after)) as messages:
            async for part in messages:
                yield part
    except sqlite3.Error as error:
        service.store.fail_reading(error)


async def _messages(service: Service, after: tuple[int, int] | None) -> AsyncGenerator[bytes, None]:
    rows = service.rendered
    last = rows.last
    if after is None:
        number, index = last, -1
    elif after[0] > last or (after[0] < last and after[0] < rows.first - 1):
        yield GAP
        number, index = (last, -1) if after[0] > last else (rows.first - 1, -1)
    else:
        number, index = after[0] - 1, after[1]
    while not service.writer.is_stopping:
        try:
            row = rows.acquire_next(number)
        except RefusedError:
            await trio.sleep(_BUSY)
            continue
        if row is None:
            with trio.move_on_after(_KEEPALIVE) as scope:
                await service.writer.wait_stored()
            if scope.cancelled_caught:
                yield b": quiet\n\n"
            continue
        try:
            for part in row.after(index if row.number == number + 1 else -1):
                yield part
        finally:
            rows.release(row)
        number, index = row.number, -1


def _parse_id(name: str) -> tuple[int, int]:
    found = _ID.fullmatch(name)
    if found is None:
        raise RefusedError(400, "bad_event_id", "invalid Last-Event-ID")
    return int(found[1]), int(found[2])
