"""ASGI middleware for all requests: the budget of bytes, refusal of ambiguous requests, draining of bodies."""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import trio

from nodeprefetch.aggregator.counters import Budget, Counters, Reservation
from nodeprefetch.aggregator.refusal import RefusedError, refusal_response
from nodeprefetch.errors import NodeprefetchError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LINGER = 2.0
"""Seconds for which the rest of a refused body is read before the response ends. Most clients send everything before
they read; they would otherwise see a reset connection and never the reason."""


class ResponseAbortedError(NodeprefetchError):
    """Raised when a response fails after it has begun. Closes its connection or stream, so that the client notices."""


def address_of(scope: Scope) -> str:
    """Return the remote address of a request; empty if unknown."""
    client = scope.get("client")
    return str(client[0]) if client else ""


REQUEST = 32 << 10
"""Bytes that each request counts for: its head, body parts in queues, and its tasks."""

STREAM = 96 << 10
"""Bytes that a streamed response counts for in addition. Measured: 250 readers that read nothing need 30 MB."""

_PART = 32 << 10
"""Bytes of a response that are sent at once."""

_BODY = {"type": "http.response.body"}

PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that are answered under any load."""


def only_probes(app: App, counters: Counters, retry_after: int) -> App:
    """Wrap an application so that it answers probes, and refuses everything else for now."""
    full = RefusedError(429, "too_many_connections", "too many connections are open", retry_after=retry_after)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PROBES:
            counters.refused[full.reason] += 1
            await drained(refusal_response(full))(scope, receive, send)
        else:
            await app(scope, receive, send)

    return outer


def within_budget(app: App, budget: Budget, counters: Counters) -> App:
    """Wrap an application so that requests and responses count in the budget; beyond it the response is 429.

    Responses are sent in parts; the server limits the time for each.
    """

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await app(scope, receive, send)
            return
        with budget.reservation(address_of(scope)) as held:
            response = _Response(scope, receive, send, held, counters)
            try:
                held.take(REQUEST)
            except RefusedError as refused:
                await response.refuse(refused)
                return
            with suppress(ResponseAbortedError):
                await app(scope, receive, response.send)

    return outer


def unambiguous(app: App, counters: Counters) -> App:
    """Wrap an application so that it refuses requests whose end a proxy may see elsewhere (RFC 9112, section 6.1)."""
    refused = RefusedError(400, "two_lengths", "a request must not have both Content-Length and Transfer-Encoding")

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set()
        if {b"content-length", b"transfer-encoding"} <= names:
            counters.refused[refused.reason] += 1
            await refusal_response(refused)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return outer


class _Response:
    """Sends a response in parts and counts the bytes it holds. Sends nothing before the budget has room."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, held: Reservation, counters: Counters) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._held = held
        self._counters = counters
        self._start: Message | None = None
        self._is_refused = False

    async def refuse(self, error: RefusedError) -> None:
        """Respond with a refusal instead."""
        self._is_refused = True
        self._counters.refused[error.reason] += 1
        await refusal_response(error)(self._scope, self._receive, self._send)

    async def send(self, message: Message) -> None:
        """The ASGI `send` of the application."""
        if self._is_refused:
            return
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more_body=message.get("more_body", False))
        else:
            await self._send(message)

    async def _send_body(self, body: bytes, *, more_body: bool) -> None:
        size = len(body)
        beside = max(0, size - REQUEST)
        try:
            self._held.take(beside)
            if self._start is not None and more_body:
                self._held.take(STREAM)  # until the request ends
        except RefusedError as error:
            if self._start is None:
                raise ResponseAbortedError from error
            await self.refuse(error)
            return
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        for begin in range(0, max(size, 1), _PART):
            part = body[begin : begin + _PART]
            await self._send({**_BODY, "body": part, "more_body": more_body or begin + _PART < size})
        self._held.release(beside)


def drained(app: App) -> App:
    """Wrap an application so that the rest of a request's body is read when the application responds early.

    The server has a short queue for the parts of a body and waits when it is full; a body that nobody reads would
    keep its connection open forever.
    """

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        ended = has_trailers = False

        async def watched_receive() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def careful_send(message: Message) -> None:
            nonlocal has_trailers
            if message["type"] == "http.response.start":
                has_trailers = message.get("trailers", False)
            if _is_last(message, has_trailers=has_trailers):
                with trio.move_on_after(_LINGER):
                    while not ended:
                        await watched_receive()
            await send(message)

        await app(scope, watched_receive, careful_send)

    return outer


def _is_last(message: Message, *, has_trailers: bool) -> bool:
    if message["type"] == "http.response.trailers":
        return not message.get("more_trailers", False)
    return message["type"] == "http.response.body" and not has_trailers and not message.get("more_body", False)
