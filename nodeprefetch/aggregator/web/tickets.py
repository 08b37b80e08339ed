"""`POST /v1/tickets`: a node asks whether it may pull, or says what it does; the answer may take a while."""

from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError, json_response
from nodeprefetch.aggregator.server.middleware import address_of
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
        asked = decoder.decode(await read_body(request.receive, request.headers, decoder.body_bounds, held))
    caller.check_node(asked.node)
    reply = await service.tickets.ask(asked)
    service.debug(f"{asked.node}: {asked.state}: {'granted' if reply.granted else 'no ticket'}")
    return json_response(reply)
