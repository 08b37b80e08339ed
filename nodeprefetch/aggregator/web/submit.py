"""`POST /v1/events`: batches in msgpack or in lines of JSON, stored before they are acknowledged."""

from contextlib import nullcontext

from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.answers import json_answer
from nodeprefetch.aggregator.refusal import RefusedError
from nodeprefetch.aggregator.server.asgi import address_of
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.web.body import read_body
from nodeprefetch.aggregator.web.service import Service

MSGPACK = frozenset({"application/msgpack", "application/vnd.msgpack", "application/x-msgpack"})
_EVENT = 512
"""Bytes that a decoded event takes, about."""

_LARGE = 64 << 10
"""Bytes of a body that is decoded in a turn of its own."""

LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/json"})


async def submit(service: Service, request: Request) -> Response:
    """Take in what is submitted.

    Raises:
        RefusedError: for one of many reasons; nothing is stored then, or all that was is what a second try brings too.
    """
    address = address_of(request.scope)
    caller = await service.authenticator.caller(request.headers.get("authorization", ""), address)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MSGPACK and kind not in LINES:
        raise RefusedError(415, "unknown_type", "the content type must be application/msgpack or application/x-ndjson")
    with service.budget.reservation(address) as held:
        body = await read_body(request.receive, request.headers, service.bounds, held)
        async with service.turns.turn(address) if len(body) > _LARGE else nullcontext():
            batches = [service.decoder.msgpack(body)] if kind in MSGPACK else service.decoder.lines(body)
        held.take(_EVENT * sum(len(batch.events) for batch in batches))
        for batch in batches:
            caller.may_report_for(batch.node)
        receipt = await service.ingest.submit([Submission(batch=batch) for batch in batches], body)
    service.counters.requests["http"] += 1
    service.counters.accepted["http"] += receipt.accepted
    service.counters.duplicates["http"] += receipt.duplicates
    service.tell(f"stored {receipt.accepted} events, {receipt.duplicates} known, of {[b.node for b in batches][:5]}")
    return json_answer({"accepted": receipt.accepted, "duplicates": receipt.duplicates})
