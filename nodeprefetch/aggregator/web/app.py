"""The ASGI applications: one for queries and submissions, one for submissions only."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nodeprefetch.aggregator.refusal import RefusedError, refusal_response
from nodeprefetch.aggregator.server.middleware import App, address_of, drained, unambiguous, within_budget
from nodeprefetch.aggregator.web.attempts import attempts
from nodeprefetch.aggregator.web.board import board
from nodeprefetch.aggregator.web.grpc import MetricsRoute
from nodeprefetch.aggregator.web.live import live
from nodeprefetch.aggregator.web.metrics import metrics
from nodeprefetch.aggregator.web.page import page
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.aggregator.web.status import status
from nodeprefetch.aggregator.web.submit import submit
from nodeprefetch.aggregator.web.tickets import tickets

_ANY: list[str] = []
_REASONS = {404: "not_found", 405: "wrong_method"}

Handler = Callable[[Service, Request], Awaitable[Response]]


def make_app(service: Service, *, with_queries: bool) -> App:
    """Return the application of a port.

    Args:
        service: what the routes share.
        with_queries: include the routes that read results.
    """

    def route(path: str, handler: Handler, methods: list[str], *, is_query: bool = False) -> Route:
        async def endpoint(request: Request) -> Response:
            if is_query and service.settings.auth_read:
                authorization = request.headers.get("authorization", "")
                await service.authenticator.authenticate(authorization, address_of(request.scope))
            return await handler(service, request)

        made = Route(path, endpoint, methods=methods or None)
        made.methods = set(made.methods or ()) if methods else set()  # an empty set: any method
        return made

    routes = [
        route("/v1/events", submit, ["POST"]),
        route("/v1/tickets", tickets, ["POST"]),
        Route("/Metrics/Submit", MetricsRoute(service)),
        route("/healthz", _healthz, ["GET"]),
        route("/readyz", _readyz, ["GET"]),
    ]
    if with_queries:
        routes += [
            route("/v1/events", live, ["GET"], is_query=True),
            route("/v1/board", board, ["GET"], is_query=True),
            route("/v1/status", status, ["GET"], is_query=True),
            route("/v1/attempts", attempts, ["GET"], is_query=True),
            route("/metrics", metrics, _ANY, is_query=True),
            route("/", page, ["GET"]),
            route("/page/{name}", page, ["GET"]),
        ]

    async def on_refusal(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)  # noqa: S101 - registered for this class
        service.counters.refused[error.reason] += 1
        return refusal_response(error)

    async def on_database_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, sqlite3.Error)  # noqa: S101 - registered for this class
        refused = service.store.fail_reading(error)
        service.counters.refused[refused.reason] += 1
        return refusal_response(refused)

    async def on_http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
        reason = _REASONS.get(error.status_code, "refused")
        response = refusal_response(RefusedError(error.status_code, reason, error.detail))
        response.headers.update(error.headers or {})
        return response

    handlers: dict[Any, Any] = {
        RefusedError: on_refusal,
        sqlite3.Error: on_database_error,
        HTTPException: on_http_error,
    }
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return drained(unambiguous(within_budget(starlette, service.budget, service.counters), service.counters))


async def _healthz(_: Service, __: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _readyz(service: Service, _: Request) -> Response:
    if service.store.problem is not None:
        raise service.store.problem.copy()
    return PlainTextResponse("ok\n")
