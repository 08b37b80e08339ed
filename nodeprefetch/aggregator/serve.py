"""Opens the database and the ports of `aggregate`, serves until stopped, and shuts down in order."""

import logging
import ssl
from collections.abc import AsyncIterable, Callable
from contextlib import ExitStack
from dataclasses import replace

import trio

from nodeprefetch.aggregator.access.auth import make_authenticator
from nodeprefetch.aggregator.access.token_reviews import TokenReviewer
from nodeprefetch.aggregator.server.listening import Server, listen, possible
from nodeprefetch.aggregator.server.tls import open_tls, renew
from nodeprefetch.aggregator.settings import AggregatorSettings
from nodeprefetch.aggregator.store.retention import keep_in_bounds
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.tickets.limits import PullingNodes
from nodeprefetch.aggregator.web.app import make_app
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.errors import Problems

_log = logging.getLogger("nodeprefetch.aggregator")
_GRACE = 5.0
"""Seconds for pending requests to finish after a stop."""


async def serve(
    settings: AggregatorSettings,
    *,
    log: Callable[[str], None],
    stop: trio.Event | AsyncIterable[int],
    reviewer: TokenReviewer | None = None,
) -> int | None:
    """Serve until stopped.

    Args:
        settings: how to serve.
        log: logs a line: first, once connections are accepted, one for each port with its actual number,
            `listening on http://127.0.0.1:8080 (queries and submissions)`,
            `listening on http://127.0.0.1:8443 (submissions)`.
        stop: set, or yields a signal's number, when it is time to stop.
        reviewer: asks the API server about tokens; for `--auth kubernetes`.

    Returns:
        the signal's number, or None.

    Raises:
        UsageError: a port, directory, certificate or token file of the settings cannot be used.
        DamagedDatabaseError: the database is damaged, and was set aside. In an exception group.
    """
    problems = Problems()
    with ExitStack() as stack:
        with problems.collected():
            authenticator = make_authenticator(settings, reviewer, log)
        tls: ssl.SSLContext | None = None
        with problems.collected():
            tls = open_tls(settings)
        with problems.collected():
            query_socket = stack.enter_context(listen(settings.bind, settings.http_port, settings.bounds))
        with problems.collected():
            submission_socket = stack.enter_context(listen(settings.bind, settings.grpc_port, settings.bounds))
        limits = PullingNodes(None, None)
        with problems.collected():
            limits = PullingNodes(settings.pulling_nodes, settings.pulling_nodes_file)
        problems.raise_if_any()
        settings = replace(settings, bounds=possible(settings.bounds))
        database = stack.enter_context(open_database(settings.data_dir, log))
        service = make_service(
            settings, Store(database, settings.bounds, settings.results_kept, log), authenticator, log, limits
        )
        server = Server(settings.bounds, service.counters, tls)
        async with trio.open_nursery() as housekeeping:
            housekeeping.start_soon(service.writer.run)
            housekeeping.start_soon(keep_in_bounds, service.store, settings)
            housekeeping.start_soon(service.tickets.run)
            housekeeping.start_soon(service.boards.run)
            housekeeping.start_soon(limits.follow, service.tickets.settle, log)
            if tls is not None:
                housekeeping.start_soon(renew, tls, settings, log)
            async with trio.open_nursery() as serving:
                serving.start_soon(server.serve, query_socket, make_app(service, with_queries=True))
                serving.start_soon(server.serve, submission_socket, make_app(service, with_queries=False))
                scheme = "http" if tls is None else "https"
                log(f"listening on {_url(scheme, query_socket.getsockname())} (queries and submissions)")
                log(f"listening on {_url(scheme, submission_socket.getsockname())} (submissions)")
                number = await _stopped(stop)
                service.writer.stop()
                service.tickets.stop()
                await server.stop()
                serving.cancel_scope.deadline = trio.current_time() + _GRACE
            housekeeping.cancel_scope.cancel()
    return number


async def _stopped(stop: trio.Event | AsyncIterable[int]) -> int | None:
    if isinstance(stop, trio.Event):
        await stop.wait()
        return None
    async for number in stop:
        return number
    return None


def _url(scheme: str, address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{scheme}://{host}:{address[1]}"
