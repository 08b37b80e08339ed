"""gRPC `Metrics/Submit` of image-prefetcher, as a route of the ASGI application.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from urllib.parse import quote

import trio

from nodeprefetch.aggregator.access.caller import Caller
from nodeprefetch.aggregator.counters import Reservation
from nodeprefetch.aggregator.refusal import RefusedError, refusal_response
from nodeprefetch.aggregator.server.middleware import Receive, Scope, Send, address_of
from nodeprefetch.aggregator.settings import Bounds
from nodeprefetch.aggregator.web.legacy import submissions_of
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.errors import CompressedMessageError, ProtocolViolationError
from nodeprefetch.rpc import Status
from nodeprefetch.rpc.frames import FrameParser, frame_message
from nodeprefetch.rpc.metrics import Result, decode_result

_OVERHEAD = 768
"""Approximate bytes of a decoded result, without its text."""

_LARGE = 1 << 10
"""Undecoded bytes from which decoding holds the lock: hostile messages take up to 1.3 µs a byte."""


class MetricsRoute:
    """Answers `/Metrics/Submit`.

    Args:
        service: stores the results.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, as an ASGI application."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if problem := _not_grpc(scope, headers):
            self._service.counters.refused[problem.reason] += 1
            await refusal_response(problem)(scope, receive, send)
            return
        status, message = Status.OK, ""
        try:
            await self._submit(headers, address_of(scope), receive)
        except RefusedError as refused:
            self._service.counters.refused[refused.reason] += 1
            status, message = refused.grpc_status, refused.detail
        await _respond(send, status, message)

    async def _submit(self, headers: dict[str, str], address: str, receive: Receive) -> None:
        encoding = headers.get("grpc-encoding", "identity")
        if encoding != "identity":
            raise RefusedError(415, "unknown_encoding", f"unsupported message compression {encoding[:40]!r}")
        caller = await self._service.authenticator.authenticate(headers.get("authorization", ""), address)
        bounds = self._service.bounds
        parser = FrameParser(largest_message(bounds))
        results: list[Result] = []
        with self._service.budget.reservation(address) as held:
            with trio.move_on_after(bounds.body_time) as scope:
                more, undecoded = True, 0
                while more:
                    part = await receive()
                    if scope.deadline - (now := trio.current_time()) < 0.9 * bounds.body_time:
                        scope.deadline = now + bounds.body_time  # not for each message, to save time
                    data = part.get("body", b"")
                    held.take(len(data))
                    undecoded = len(data) + (undecoded if parser.in_message else 0)
                    parser.feed(data)
                    async with self._service.lock.hold(address) if undecoded > _LARGE else nullcontext():
                        self._collect(parser, results, caller, held)
                    more = part.get("more_body", False)
                    if len(results) >= bounds.events:
                        await self._store(results)
                        results = []
                        held.release()
            if scope.cancelled_caught:
                raise RefusedError(408, "too_slow", f"no message received for {bounds.body_time:g} s")
            if parser.in_message:
                raise RefusedError(400, "malformed", "the stream ended in the middle of a message")
            await self._store(results)
        self._service.counters.requests["grpc"] += 1

    def _collect(self, parser: FrameParser, results: list[Result], caller: Caller, held: Reservation) -> None:
        """Decode the messages that have arrived completely."""
        while (message := _next_message(parser)) is not None:
            held.take(_OVERHEAD)
            try:
                result = decode_result(message)
            except ProtocolViolationError as error:
                raise RefusedError(400, "malformed", f"invalid message: {error}") from error
            self._check(result)
            if caller.node is not None:
                caller.check_node(result.node)
            results.append(result)

    def _check(self, result: Result) -> None:
        bounds = self._service.bounds
        if not (result.attempt_id and result.image):
            raise RefusedError(400, "invalid_result", "invalid result: attempt_id and image must not be empty")
        if (
            len(result.attempt_id) > bounds.name
            or len(result.node) > bounds.name
            or len(result.image) > bounds.image
            or len(result.error) > bounds.text
            or len(result.digest) > bounds.name
            or len(result.moved_from) > bounds.name
        ):
            raise RefusedError(400, "invalid_result", "invalid result: a text is too long")

    async def _store(self, results: Sequence[Result]) -> None:
        if not results:
            return
        receipt = await self._service.writer.submit(submissions_of(results))
        self._service.counters.accepted["grpc"] += receipt.accepted
        self._service.counters.duplicates["grpc"] += receipt.duplicates
        self._service.debug(f"stored {receipt.accepted} results by gRPC, {receipt.duplicates} duplicates")


def largest_message(bounds: Bounds) -> int:
    """Return the size of the largest message accepted. Longer ones have a text beyond its limit, or useless fields."""
    return min(bounds.body, 4 * (2 * bounds.name + bounds.image + bounds.text) + _OVERHEAD)


def _next_message(parser: FrameParser) -> bytes | None:
    try:
        return parser.next_message()
    except CompressedMessageError as error:
        raise RefusedError(415, "unknown_encoding", str(error)) from error
    except ProtocolViolationError as error:
        raise RefusedError(413, "too_large", str(error)) from error


def _not_grpc(scope: Scope, headers: dict[str, str]) -> RefusedError | None:
    if scope["method"] != "POST":
        return RefusedError(405, "wrong_method", "gRPC calls must use POST")
    kind = headers.get("content-type", "")
    if kind != "application/grpc" and not kind.startswith(("application/grpc+proto", "application/grpc;")):
        return RefusedError(415, "unknown_type", "the content type must be application/grpc")
    if scope["http_version"] != "2":
        return RefusedError(400, "not_http2", "gRPC requires HTTP/2")
    return None


async def _respond(send: Send, status: Status, message: str) -> None:
    trailers = [(b"grpc-status", b"%d" % status.value)]
    if message:
        trailers.append((b"grpc-message", quote(message[:1000], safe=" !#$&'()*+,/:;=?@[]~\"").encode("ascii")))
    headers = [(b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    body = frame_message(b"") if status is Status.OK else b""
    await send({"type": "http.response.body", "body": body, "more_body": False})
    await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})
