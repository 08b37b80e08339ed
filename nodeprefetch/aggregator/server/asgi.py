"""What all requests pass through: a budget for what is in hand, and an end that waits for the rest of a body."""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import trio

from nodeprefetch.aggregator.counters import Budget, Counters, Reservation
from nodeprefetch.aggregator.refusal import RefusedError, refusal_answer
from nodeprefetch.errors import NodeprefetchError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LINGER = 2.0
"""Seconds that the rest of a refused body is taken in before the answer ends: who sends first and reads then, as most
clients do, would otherwise meet a reset connection and never see why."""


class AnswerCutError(NodeprefetchError):
    """The rest of an answer that has begun cannot be sent. Its connection, or stream, is closed, so that it shows."""


def address_of(scope: Scope) -> str:
    """Where a request comes from, as the kernel says; empty where nobody knows."""
    client = scope.get("client")
    return str(client[0]) if client else ""


REQUEST = 32 << 10
"""Bytes that each request in hand counts for: its head, what of its body is on the way, and what works on it."""

STREAM = 96 << 10
"""Bytes that an answer in parts counts for beside that. Measured: 250 such readers who take nothing need 30 MB."""

_PART = 32 << 10
"""Bytes of an answer that are sent at once."""

_BODY = {"type": "http.response.body"}

PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that are answered whatever there is to do."""


def only_probes(app: App, counters: Counters, retry_after: int) -> App:
    """An application that answers probes as the inner one does, and tells all others to come later."""
    full = RefusedError(429, "too_many_connections", "too many connections are open", retry_after=retry_after)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PROBES:
            counters.refused[full.reason] += 1
            await drained(refusal_answer(full))(scope, receive, send)
        else:
            await app(scope, receive, send)

    return outer


def within_budget(app: App, budget: Budget, counters: Counters) -> App:
    """An application whose requests and answers count in what is in hand; without room for them the answer is 429.

    Answers are sent in parts, each of which the server gives a limit of time.
    """

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await app(scope, receive, send)
            return
        with budget.reservation(address_of(scope)) as held:
            answer = _Answer(scope, receive, send, held, counters)
            try:
                held.take(REQUEST)
            except RefusedError as refused:
                await answer.refuse(refused)
                return
            with suppress(AnswerCutError):
                await app(scope, receive, answer.send)

    return outer


def unambiguous(app: App, counters: Counters) -> App:
    """An application without requests whose end a proxy may have seen elsewhere (RFC 9112, section 6.1)."""
    refused = RefusedError(400, "two_lengths", "a request must not have both Content-Length and Transfer-Encoding")

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set()
        if {b"content-length", b"transfer-encoding"} <= names:
            counters.refused[refused.reason] += 1
            await refusal_answer(refused)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return outer


class _Answer:
    """Sends an answer in parts, and counts what it holds meanwhile. Nothing is sent before there is room."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, held: Reservation, counters: Counters) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._held = held
        self._counters = counters
        self._start: Message | None = None
        self._is_refused = False

    async def refuse(self, error: RefusedError) -> None:
        """Answer with that."""
        self._is_refused = True
        self._counters.refused[error.reason] += 1
        await refusal_answer(error)(self._scope, self._receive, self._send)

    async def send(self, message: Message) -> None:
        """For the application."""
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
                raise AnswerCutError from error
            await self.refuse(error)
            return
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        for begin in range(0, max(size, 1), _PART):
            part = body[begin : begin + _PART]
            await self._send({**_BODY, "body": part, "more_body": more_body or begin + _PART < size})
        self._held.give_back(beside)


def drained(app: App) -> App:
    """An application that takes in what is left of a request's body when the inner one answers early.

    The server has a short queue for the parts of a body and waits where it is full; a body that nobody takes would
    hold its connection for ever.
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
