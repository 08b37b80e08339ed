"""The handlers of one connection's requests: cancelled with their streams, or ended before their response comes.

A request that waits for long would hold 20 KB in its handler: tasks, stacks of middleware, channels. So a handler may
end without a response, and send it later (`Exchange.postpone`). A thousand such requests hold a few megabytes.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper
from starlette.responses import Response

EXCHANGE = "nodeprefetch.exchange"
"""Name of the ASGI extension that has the `Exchange` of a request."""

Send = Callable[[Any], Awaitable[None]]


class Exchange:
    """One request and its response.

    Args:
        handlers: of the connection.
        config: has the log, and the number of parts of a body that may wait.
        send: of the stream; None ends it.
    """

    def __init__(self, handlers: "Handlers", config: Config, send: Send) -> None:
        self._handlers = handlers
        self._config = config
        self._send = send
        self._put: trio.MemorySendChannel[Any] | None = None
        self._handling: trio.CancelScope | None = None
        self._on_end: Callable[[], None] | None = None

    def start(self, app: AppWrapper, scope: Any) -> None:
        """Start the handler."""
        self._put, take = trio.open_memory_channel[Any](self._config.max_app_queue_size)
        self._handling = trio.CancelScope()

        async def run() -> None:
            with take:
                await app(scope, take.receive, self._send, trio.to_thread.run_sync, trio.from_thread.run)

        self._handlers.spawn(self._handle, run, self._handling)

    async def forward(self, message: Any) -> None:
        """Take a part of the request, or its end by the client."""
        if message["type"] == "http.disconnect":
            self.end()
        elif self._put is not None:
            with suppress(trio.BrokenResourceError):  # the handler has ended
                await self._put.send(message)

    def postpone(self, on_end: Callable[[], None]) -> None:
        """Let the handler end without a response; call `respond` later.

        Args:
            on_end: called if the stream or the connection ends before that.
        """
        self._on_end = on_end
        self._handlers.postponed.add(self)

    def respond(self, response: Response) -> None:
        """Send a postponed response."""
        self._on_end = None
        self._handlers.postponed.discard(self)
        self._handling = trio.CancelScope()
        self._handlers.spawn(self._handle, partial(response, {"type": "http"}, _nothing, self._send), self._handling)

    def end(self) -> None:
        """The stream has ended, or its connection."""
        self._handlers.postponed.discard(self)
        if self._handling is not None:
            self._handling.cancel()
        elif self._on_end is not None:
            self._on_end()
            self._send = _nowhere

    async def _handle(self, run: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        try:
            with scope:
                await run()
        except Exception:  # noqa: BLE001 - ends this request only
            await self._config.log.exception("Error in ASGI Framework")
        if self._on_end is not None:
            self._put = self._handling = None  # saves their memory
        else:
            await self._send(None)  # not when the connection itself ends: nothing can be sent then
            self._put, self._handling, self._send = None, None, _nowhere


class Handlers(TaskGroup):
    """The handlers of one connection."""

    def __init__(self) -> None:
        super().__init__()
        self.postponed: set[Exchange] = set()
        """Requests that get their responses later."""

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Any, send: Send) -> Send:
        """Start a handler. Returns a function that takes the parts of its request."""
        exchange = Exchange(self, config, send)
        scope["extensions"][EXCHANGE] = exchange
        exchange.start(app, scope)
        return exchange.forward

    def end(self) -> None:
        """The connection has ended."""
        for exchange in tuple(self.postponed):
            exchange.end()


async def _nowhere(_: Any) -> None:
    pass


async def _nothing() -> Any:
    """A request whose body has been read."""
