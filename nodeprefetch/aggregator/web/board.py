"""`GET /v1/board`: all nodes of an instance with all their images, as JSON or as server-sent events."""

import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.store.backlog import PART
from nodeprefetch.aggregator.store.board import empty_board
from nodeprefetch.aggregator.web.boards import OpenBoard
from nodeprefetch.aggregator.web.etag import is_known
from nodeprefetch.aggregator.web.event_stream import BUSY, KEEPALIVE, MEDIA_TYPE, QUIET, event_stream
from nodeprefetch.aggregator.web.query import check_parameters
from nodeprefetch.aggregator.web.service import Service

_EVERY = 1.0
"""Seconds between two looks for an instance that is not known yet."""


async def board(service: Service, request: Request) -> Response:
    """Return a board, at most a second old, or 304 if the client has it already; or stream it.

    A stream begins with a message `board`, followed by at most one `change` per second. After everything that cannot be
    told by a change, and to readers that are too slow, a whole `board` is sent again.

    Raises:
        RefusedError: a parameter is unknown or invalid, or too many boards or streams are open.
    """
    query = request.query_params
    check_parameters(query, {"instance"})
    instance = query.get("instance")
    if instance is not None and len(instance.encode()) > service.bounds.name:
        raise RefusedError(400, "name_too_long", f"instance name must not be longer than {service.bounds.name} bytes")
    if MEDIA_TYPE in ",".join(request.headers.getlist("accept")).lower():
        return event_stream(service, request, _messages(service, instance))
    body, tag = await _body(service, instance)
    headers = {"etag": tag, "cache-control": "no-cache", "vary": "accept"}
    if is_known(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def _body(service: Service, asked: str | None) -> tuple[bytes, str]:
    """Return a board as JSON, and its tag."""
    instance, number = _find(service, asked)
    if number is None:
        empty = empty_board(service.store, instance)
        known = msgspec.json.encode((instance, empty.instances))
        return msgspec.json.encode(empty), f'W/"{hashlib.blake2b(known, digest_size=8).hexdigest()}"'
    with service.boards.reading(instance, number) as opened:
        await opened.look()
        return opened.whole().text, f'W/"{opened.board.tag}"'


def _find(service: Service, asked: str | None) -> tuple[str, int | None]:
    """Return the name and the number of the instance that is asked for, or of that which was heard of last."""
    records = service.store.records
    instance = records.newest_instance() or "" if asked is None else asked
    return instance, records.instances.find(instance)


async def _messages(service: Service, asked: str | None) -> AsyncGenerator[bytes, None]:
    known: tuple[str, ...] | None = None
    spoke_at = trio.current_time()
    while not service.writer.is_stopping:
        instance, number = _find(service, asked)
        if number is not None:
            known, asked = None, instance
            try:
                with service.boards.reading(instance, number) as opened:
                    async with aclosing(_news(service, opened)) as news:
                        async for part in news:
                            yield part
            except RefusedError:
                await trio.sleep(BUSY)
            continue
        empty = empty_board(service.store, instance)
        if known != empty.instances:
            known, spoke_at = empty.instances, trio.current_time()
            for part in _parts(b"board", msgspec.json.encode(empty)):
                yield part
        elif trio.current_time() - spoke_at >= KEEPALIVE:
            spoke_at = trio.current_time()
            yield QUIET
        await trio.sleep(_EVERY)


async def _news(service: Service, opened: OpenBoard) -> AsyncGenerator[bytes, None]:
    """Yield the messages of a board, until its instance is forgotten."""
    revision: int | None = None
    spoke_at = trio.current_time()
    find, board = service.store.records.instances.find, opened.board
    while not service.writer.is_stopping and find(board.instance) == board.number:
        await opened.look()
        if board.revision != revision:
            shared = opened.news(revision)
            try:
                service.texts.acquire(shared)
            except RefusedError:
                await trio.sleep(BUSY)
                continue
            try:
                revision = board.revision
                for part in _parts(shared.name, shared.text):
                    yield part
            finally:
                service.texts.release(shared)
            spoke_at = trio.current_time()
        elif trio.current_time() - spoke_at >= KEEPALIVE:
            yield QUIET
            spoke_at = trio.current_time()
        await trio.sleep_until(opened.next_look)


def _parts(name: bytes, text: bytes) -> Iterator[bytes]:
    """Yield a message in parts; JSON has no line ends."""
    begin, end = b"event: %b\ndata: " % name, b"\n\n"
    if len(text) <= PART:
        yield begin + text + end
        return
    yield begin
    for start in range(0, len(text), PART):
        yield text[start : start + PART]
    yield end
