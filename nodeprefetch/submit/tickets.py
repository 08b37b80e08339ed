"""Asks an aggregator for tickets over HTTP: `POST /v1/tickets`."""

import importlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import trio

from nodeprefetch.submit.destination import Destination
from nodeprefetch.submit.endpoint import deepest_text, short
from nodeprefetch.tickets.client import NoAnswerError
from nodeprefetch.tickets.messages import TicketReply, TicketRequest

if TYPE_CHECKING:
    from nodeprefetch.submit.http import Poster

ROUTE = "/v1/tickets"
_OK = 200


class HttpTickets:
    """An `Ask` over one connection. Created by `open_tickets`.

    Args:
        destination: the aggregator.
        connection: keeps the connection, which is opened for the first request.
    """

    def __init__(self, destination: Destination, connection: AsyncExitStack) -> None:
        self._destination = destination
        self._connection = connection
        self._opening = trio.Lock()
        self._poster: Poster | None = None

    async def ask(self, request: TicketRequest) -> TicketReply:
        """Send a request, and return the answer.

        Raises:
            NoAnswerError: there is none, or it is not a ticket's.
        """
        where = str(self._destination.endpoint)
        try:
            poster = await self._open()
            answer = await poster.post(ROUTE, b"application/json", msgspec.json.encode(request))
        except Exception as error:  # whatever is wrong here: the run starts without a ticket
            raise NoAnswerError(f"{where}: {deepest_text(error) or type(error).__name__}") from error
        if answer.status != _OK:
            raise NoAnswerError(f"{where}: {short(f'HTTP status {answer.status}: {answer.shown}')}")
        try:
            return msgspec.json.decode(answer.body, type=TicketReply)
        except (ValueError, RecursionError) as error:
            raise NoAnswerError(f"{where}: invalid answer: {short(str(error))}") from error

    async def _open(self) -> "Poster":
        async with self._opening:
            if self._poster is None:
                # Takes some 200 ms if nothing is cached.
                await trio.to_thread.run_sync(importlib.import_module, "nodeprefetch.submit.http")
                from nodeprefetch.submit.http import open_poster  # noqa: PLC0415

                self._poster = await self._connection.enter_async_context(open_poster(self._destination))
            return self._poster


@asynccontextmanager
async def open_tickets(destination: Destination) -> AsyncGenerator[HttpTickets]:
    """Open a connection to an aggregator when it is needed, and close it at the end of the block."""
    async with AsyncExitStack() as connection:
        yield HttpTickets(destination, connection)
