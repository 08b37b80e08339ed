"""`POST /v1/tickets`: a node asks whether it may pull, or says what it does; the answer may take a while."""

from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError, json_response
from nodeprefetch.aggregator.server.handlers import EXCHANGE, Exchange
from nodeprefetch.aggregator.server.middleware import Receive, Scope, Send, address_of
from nodeprefetch.aggregator.tickets.desk import OpenRequest
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.aggregator.web.submit import read_body


async def tickets(service: Service, request: Request) -> Response:
    """Answer a request for a ticket once there is one, or when the time that the request allows is over.

    Raises:
        RefusedError: the request is refused.
    """
    address = address_of(request.scope)
    caller = await service.authenticator.authenticate(request.headers.get("authorization", ""), address)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "unknown_type", "the content type must be application/json")
    decoder = service.ticket_decoder
    with service.budget.reservation(address) as held:
        asked = decoder.decode(await read_body(request.receive, request.headers, decoder.bounds, held))
    caller.check_node(asked.node)
    answer = service.tickets.ask(asked)
    if isinstance(answer, OpenRequest):
        return _Postponed(answer)
    return json_response(answer)


class _Postponed(Response):
    """Ends the handler; the response is sent when the request is answered."""

    def __init__(self, opened: OpenRequest) -> None:
        super().__init__()
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - sends nothing yet
        exchange: Exchange = scope["extensions"][EXCHANGE]
        exchange.postpone(self._opened.leave)
        self._opened.when_answered(lambda reply: exchange.respond(json_response(reply)))
