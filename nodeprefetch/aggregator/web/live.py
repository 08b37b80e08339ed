"""`GET /v1/events`: the events as they are stored, as server-sent events; who comes back goes on where it was.

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
from nodeprefetch.aggregator.server.asgi import Receive, Scope, Send, address_of
from nodeprefetch.aggregator.store.backlog import GAP
from nodeprefetch.aggregator.web.service import Service

_QUIET = 15.0
"""Seconds after which a comment shows that the connection lives; proxies close silent ones."""

_BUSY = 1.0
"""Seconds until a reader that there was no room for is tried again."""

_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,9})")


async def live(service: Service, request: Request) -> Response:
    """Follow the stream, from now on or from behind the event that `Last-Event-ID` names.

    Each message has the event's name, `row-place` as ID, and as data the event with `run_id`, `node`, `instance`
    and `version` of its run. A message `gap` says that events between are not kept any more.

    Raises:
        RefusedError: an ID we never gave, or too many readers.
    """
    name = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    after = _parsed(name) if name else None
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return _Stream(service, _followed(service, after), headers)


class _Stream(StreamingResponse):
    """Counts its reader where it is let in, and until its end, whatever that is."""

    media_type = "text/event-stream"

    def __init__(self, service: Service, parts: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(parts, headers=headers)
        self._service = service
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        readers, address = self._service.readers, address_of(scope)
        if not readers.take(address):
            retry_after = self._service.bounds.retry_after
            raise RefusedError(429, "too_many_readers", "too many read the live stream", retry_after=retry_after)
        try:
            async with aclosing(self._parts):
                await super().__call__(scope, receive, send)
        finally:
            readers.give_back(address)


async def _followed(service: Service, after: tuple[int, int] | None) -> AsyncGenerator[bytes, None]:
    yield b"retry: 2000\n\n"
    try:
        async with aclosing(_messages(service, after)) as messages:
            async for part in messages:
                yield part
    except sqlite3.Error as error:
        service.store.fail_reading(error)


async def _messages(service: Service, after: tuple[int, int] | None) -> AsyncGenerator[bytes, None]:
    texts = service.texts
    last = texts.last
    if after is None:
        number, place = last, -1
    elif after[0] > last or (after[0] < last and after[0] < texts.first - 1):
        yield GAP
        number, place = (last, -1) if after[0] > last else (texts.first - 1, -1)
    else:
        number, place = after[0] - 1, after[1]
    while not service.ingest.is_stopping:
        try:
            text = texts.hold_next(number)
        except RefusedError:
            await trio.sleep(_BUSY)
            continue
        if text is None:
            with trio.move_on_after(_QUIET) as scope:
                await service.ingest.news()
            if scope.cancelled_caught:
                yield b": quiet\n\n"
            continue
        try:
            for part in text.after(place if text.number == number + 1 else -1):
                yield part
        finally:
            texts.let_go(text)
        number, place = text.number, -1


def _parsed(name: str) -> tuple[int, int]:
    found = _ID.fullmatch(name)
    if found is None:
        raise RefusedError(400, "bad_event_id", "Last-Event-ID is the ID of an event of this stream")
    return int(found[1]), int(found[2])
