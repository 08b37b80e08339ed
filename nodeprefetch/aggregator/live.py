"""`GET /v1/events`: the events as they are stored, as server-sent events; who comes back goes on where it was.

https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import re
from collections.abc import AsyncIterator

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.service import Service
from nodeprefetch.events import Batch

_QUIET = 15.0
"""Seconds after which a comment shows that the connection lives; proxies close silent ones."""

_AT_ONCE = 20
"""Batches read from the database at once."""

_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,9})")
_decode = msgspec.msgpack.Decoder(Batch).decode


async def live(service: Service, request: Request) -> Response:
    """Follow the stream, from now on or from behind the event that `Last-Event-ID` names.

    Each message has the event's name, `batch-place` as ID, and as data the event with `run_id`, `node`, `instance`
    and `version` of its run. A message `gap` says that events between are not kept any more.

    Raises:
        RefusedError: an ID we never gave, or too many readers.
    """
    name = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    after = _parsed(name) if name else None
    if service.counters.readers >= service.bounds.readers:
        retry_after = service.bounds.retry_after
        raise RefusedError(429, "too_many_readers", "too many read the live stream", retry_after=retry_after)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(_followed(service, after), headers=headers, media_type="text/event-stream")


async def _followed(service: Service, after: tuple[int, int] | None) -> AsyncIterator[bytes]:
    service.counters.readers += 1
    try:
        yield b"retry: 2000\n\n"
        last = _last(service)
        if after is None:
            number, place = last, -1
        elif after[0] > last or (after[0] < last and after[0] < _first(service) - 1):
            yield b'event: gap\ndata: {"missed":true}\n\n'
            number, place = (last, -1) if after[0] > last else (_first(service) - 1, -1)
        else:
            number, place = after[0] - 1, after[1]
        while not service.ingest.is_stopping:
            rows = service.store.database.execute(
                "SELECT id, body FROM live WHERE id > ? ORDER BY id LIMIT ?", (number, _AT_ONCE)
            ).fetchall()
            for found, body in rows:
                yield _written(found, body, place if found == number + 1 else -1)
                number, place = found, -1
            if not rows:
                with trio.move_on_after(_QUIET) as scope:
                    await service.ingest.news()
                if scope.cancelled_caught:
                    yield b": quiet\n\n"
    finally:
        service.counters.readers -= 1


def _written(number: int, body: bytes, place: int) -> bytes:
    """The messages of one batch behind a place in it."""
    batch = _decode(body)
    about = {"run_id": batch.run_id, "node": batch.node, "instance": batch.instance, "version": batch.version}
    messages = []
    for index, event in enumerate(batch.events):
        if index > place:
            fields = msgspec.to_builtins(event)
            data = msgspec.json.encode({**fields, **about})  # a node speaks for itself and its own run only
            messages.append(b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (number, index, fields["event"].encode(), data))
    return b"".join(messages)


def _parsed(name: str) -> tuple[int, int]:
    found = _ID.fullmatch(name)
    if found is None:
        raise RefusedError(400, "bad_event_id", "Last-Event-ID is the ID of an event of this stream")
    return int(found[1]), int(found[2])


def _first(service: Service) -> int:
    (first,) = service.store.database.execute("SELECT coalesce(min(id), 0) FROM live").fetchone()
    return int(first)


def _last(service: Service) -> int:
    found = service.store.database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'live'").fetchone()
    return int(found[0]) if found else 0
