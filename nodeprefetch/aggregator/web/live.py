"""`GET /v1/events`: streams stored events as server-sent events; clients that reconnect continue where they were."""

import re
from collections.abc import AsyncGenerator

import trio
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.store.backlog import GAP
from nodeprefetch.aggregator.web.event_stream import BUSY, KEEPALIVE, QUIET, event_stream
from nodeprefetch.aggregator.web.service import Service

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
    return event_stream(service, request, _messages(service, after))


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
            await trio.sleep(BUSY)
            continue
        if row is None:
            with trio.move_on_after(KEEPALIVE) as scope:
                await service.writer.wait_stored()
            if scope.cancelled_caught:
                yield QUIET
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
