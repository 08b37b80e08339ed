"""The routes: one ASGI application for reading and submission, one for submission alone."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nodeprefetch.aggregator.refusal import RefusedError, refusal_answer
from nodeprefetch.aggregator.server.asgi import App, address_of, drained, unambiguous, within_budget
from nodeprefetch.aggregator.web.grpc import MetricsRoute
from nodeprefetch.aggregator.web.live import live
from nodeprefetch.aggregator.web.metrics import metrics
from nodeprefetch.aggregator.web.service import Service
from nodeprefetch.aggregator.web.status import status
from nodeprefetch.aggregator.web.submit import submit

_ANY: list[str] = []
_REASONS = {404: "not_found", 405: "wrong_method"}

Handler = Callable[[Service, Request], Awaitable[Response]]


def make_app(service: Service, *, reading: bool) -> App:
    """The application of a port.

    Args:
        service: what it serves.
        reading: also the routes that read.
    """

    def route(path: str, handler: Handler, methods: list[str], *, reads: bool = False) -> Route:
        async def endpoint(request: Request) -> Response:
            if reads and service.settings.auth_read:
                await service.authenticator.caller(request.headers.get("authorization", ""), address_of(request.scope))
            return await handler(service, request)

        made = Route(path, endpoint, methods=methods or None)
        made.methods = set(made.methods or ()) if methods else set()  # an empty set: any method
        return made

    routes = [
        route("/v1/events", submit, ["POST"]),
        Route("/Metrics/Submit", MetricsRoute(service)),
        route("/healthz", _alive, ["GET"]),
        route("/readyz", _ready, ["GET"]),
    ]
    if reading:
        routes += [
            route("/v1/events", live, ["GET"], reads=True),
            route("/v1/status", status, ["GET"], reads=True),
            route("/metrics", metrics, _ANY, reads=True),
        ]

    async def on_refusal(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)  # noqa: S101 - that is what it is registered for
        service.counters.refused[error.reason] += 1
        return refusal_answer(error)

    async def on_database_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, sqlite3.Error)  # noqa: S101 - that is what it is registered for
        refused = service.store.fail_reading(error)
        service.counters.refused[refused.reason] += 1
        return refusal_answer(refused)

    async def on_http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - that is what it is registered for
        reason = _REASONS.get(error.status_code, "refused")
        answer = refusal_answer(RefusedError(error.status_code, reason, error.detail))
        answer.headers.update(error.headers or {})
        return answer

    handlers: dict[Any, Any] = {
        RefusedError: on_refusal,
        sqlite3.Error: on_database_error,
        HTTPException: on_http_error,
    }
    starlette = Starlette(routes=routes, exception_handlers=handlers)
    starlette.router.redirect_slashes = False
    return drained(unambiguous(within_budget(starlette, service.budget, service.counters), service.counters))


async def _alive(_: Service, __: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _ready(service: Service, _: Request) -> Response:
    if service.store.problem is not None:
        raise service.store.problem.again()
    return PlainTextResponse("ok\n")
