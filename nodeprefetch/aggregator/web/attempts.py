"""`GET /v1/attempts`: the finished attempts of a node, the newest first."""

from starlette.requests import Request
from starlette.responses import Response

from nodeprefetch.aggregator.refusal import RefusedError, json_response
from nodeprefetch.aggregator.server.middleware import address_of
from nodeprefetch.aggregator.store.attempts import attempts_of
from nodeprefetch.aggregator.web.query import check_parameters, read_limit
from nodeprefetch.aggregator.web.service import Service

_DEFAULT_LIMIT, _LARGEST_LIMIT = 100, 1_000


async def attempts(service: Service, request: Request) -> Response:
    """Return attempts, and whether there are older ones.

    Raises:
        RefusedError: a parameter is missing, unknown or invalid.
    """
    query = request.query_params
    check_parameters(query, {"node", "image", "instance", "limit"})
    if not query.get("node"):
        raise RefusedError(400, "missing_parameter", "missing parameter 'node': the name of the node")
    limit = read_limit(query, default=_DEFAULT_LIMIT, largest=_LARGEST_LIMIT)
    async with service.lock.hold(address_of(request.scope)):
        found = await attempts_of(
            service.store, query["node"], image=query.get("image"), instance=query.get("instance"), limit=limit
        )
        return json_response(found, headers={"cache-control": "no-cache"})
