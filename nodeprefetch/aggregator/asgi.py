"""What all requests pass through: the rest of a body is taken in before the answer ends, and clients that go away."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio

from nodeprefetch.errors import NodeprefetchError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LINGER = 2.0
"""Seconds that the rest of a refused body is taken in before the answer ends: who sends first and reads then, as most
clients do, would otherwise meet a reset connection and never see why."""


class ClientGoneError(NodeprefetchError):
    """The client closed the connection, or its stream, before it had said everything."""


def address_of(scope: Scope) -> str:
    """Where a request comes from, as the kernel says; empty where nobody knows."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def drained(app: App) -> App:
    """An application that takes in what is left of a request's body when the inner one answers early.

    The server has a short queue for the parts of a body and waits where it is full; a body that nobody takes would
    hold its connection for ever.
    """

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        ended = gone = has_trailers = False

        async def watched_receive() -> Message:
            nonlocal ended, gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            ended = ended or gone or not message.get("more_body", False)
            return message

        async def discard(finished: trio.Event) -> None:
            while not ended:
                await watched_receive()
            finished.set()

        async def careful_send(message: Message) -> None:
            nonlocal has_trailers
            if gone:
                return
            if message["type"] == "http.response.start":
                has_trailers = message.get("trailers", False)
            if not _is_last(message, has_trailers=has_trailers):
                await send(message)
                return
            # Shielded: the server says `http.disconnect` in the middle of its last work for the request, and Starlette
            # cancels what streams when it hears that; the connection would be neither closed nor used again.
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    finished = trio.Event()
                    nursery.start_soon(discard, finished)
                    with trio.move_on_after(_LINGER):
                        await finished.wait()
                    await send(message)
                    nursery.cancel_scope.cancel()

        try:
            await app(scope, watched_receive, careful_send)
        except ClientGoneError:
            return

    return outer


def _is_last(message: Message, *, has_trailers: bool) -> bool:
    if message["type"] == "http.response.trailers":
        return not message.get("more_trailers", False)
    return message["type"] == "http.response.body" and not has_trailers and not message.get("more_body", False)
