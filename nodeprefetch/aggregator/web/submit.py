"""`POST /v1/events`: reads and decodes batches (msgpack, JSON lines), and acknowledges them once they are stored."""

import zlib
from collections.abc import Mapping
from contextlib import nullcontext

import trio
from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.counters import Reservation
from nodeprefetch.aggregator.refusal import RefusedError, json_response
from nodeprefetch.aggregator.server.middleware import Receive, address_of
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.web.progress_interval import SHORTEST
from nodeprefetch.aggregator.web.service import Service

_GZIP = 16 + zlib.MAX_WBITS


async def read_body(receive: Receive, headers: Mapping[str, str], bounds: Bounds, held: Reservation) -> bytearray:
    """Return the whole body, decompressed.

    Args:
        receive: of the ASGI request.
        headers: of the request, names in lower case.
        bounds: limits of size and time.
        held: counts the bytes that are read.

    Raises:
        RefusedError: the body is too large, too slow or not gzip, or the budget is used up.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise RefusedError(415, "unknown_encoding", f"unknown content encoding {encoding[:40]!r} (use gzip)")
    length = headers.get("content-length", "")
    if length.isdigit() and (len(length) > 18 or int(length) > bounds.body):  # noqa: PLR2004 - int() is fast up to here
        raise _too_large(bounds.body)
    collected = _Gzip(bounds, held) if encoding.endswith("gzip") else _Plain(bounds, held)
    with trio.move_on_after(bounds.body_time) as scope:
        while True:
            message = await receive()
            collected.feed(message.get("body", b""))
            if not message.get("more_body", False):
                break
    if scope.cancelled_caught:
        raise RefusedError(408, "too_slow", f"request body timed out after {bounds.body_time:g} s")
    return collected.result()


class _Plain:
    def __init__(self, bounds: Bounds, held: Reservation) -> None:
        self._bounds = bounds
        self._held = held
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        if len(self._body) + len(data) > self._bounds.body:
            raise _too_large(self._bounds.body)
        self._held.take(len(data))
        self._body += data

    def result(self) -> bytearray:
        return self._body


class _Gzip:
    def __init__(self, bounds: Bounds, held: Reservation) -> None:
        self._bounds = bounds
        self._held = held
        self._raw = 0
        self._body = bytearray()
        self._inflate = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> None:
        self._raw += len(data)
        if self._raw > self._bounds.body:
            raise _too_large(self._bounds.body)
        room = self._bounds.decompressed - len(self._body)
        try:
            out = self._inflate.decompress(data, room + 1)  # 0 would mean no limit
        except zlib.error as error:
            raise RefusedError(400, "malformed", f"invalid gzip body: {error}") from error
        if len(out) > room:
            raise _too_large(self._bounds.decompressed)
        if self._inflate.unused_data:
            raise RefusedError(400, "malformed", "trailing data after gzip stream")
        self._held.take(len(out))
        self._body += out

    def result(self) -> bytearray:
        if not self._inflate.eof:
            raise RefusedError(400, "malformed", "truncated gzip stream")
        return self._body


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "too_large", f"the body must not be larger than {limit} bytes")


MSGPACK = frozenset({"application/msgpack", "application/vnd.msgpack", "application/x-msgpack"})
_EVENT = 512
"""Approximate bytes of a decoded event."""

_LARGE = 64 << 10
"""Bytes of a body from which decoding holds the lock."""

LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/json"})


async def submit(service: Service, request: Request) -> Response:
    """Store the submitted batches.

    Raises:
        RefusedError: the request is refused. Retrying is safe: batches that were stored already count once.
    """
    address = address_of(request.scope)
    caller = await service.authenticator.authenticate(request.headers.get("authorization", ""), address)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MSGPACK and kind not in LINES:
        raise RefusedError(415, "unknown_type", "the content type must be application/msgpack or application/x-ndjson")
    with service.budget.reservation(address) as held:
        body = await read_body(request.receive, request.headers, service.bounds, held)
        async with service.lock.hold(address) if len(body) > _LARGE else nullcontext():
            batches = [service.decoder.msgpack(body)] if kind in MSGPACK else service.decoder.lines(body)
        held.take(_EVENT * sum(len(batch.events) for batch in batches))
        for batch in batches:
            caller.check_node(batch.node)
        receipt = await service.writer.submit([Submission(batch=batch) for batch in batches], body)
    for batch in batches:
        service.progress_interval.note(batch)
    service.counters.requests["http"] += 1
    service.counters.accepted["http"] += receipt.accepted
    service.counters.duplicates["http"] += receipt.duplicates
    nodes = [batch.node for batch in batches[:5]]
    service.debug(f"stored {receipt.accepted} events, {receipt.duplicates} duplicates, of nodes {nodes}")
    answer = {"accepted": receipt.accepted, "duplicates": receipt.duplicates}
    if (interval := service.progress_interval.seconds) > SHORTEST:
        answer["progress_interval"] = interval
    return json_response(answer)
