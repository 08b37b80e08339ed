"""Sends the events of a run to an aggregator while they happen, at least once, whatever the aggregator does."""

import importlib
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf
from typing import Literal, cast

import trio

from nodeprefetch import __version__
from nodeprefetch.batch import AnyEvent, Batch
from nodeprefetch.errors import UsageError
from nodeprefetch.events import Event, Progress, RunFinished, RunStarted
from nodeprefetch.report.readers import Deliverer
from nodeprefetch.submit.destination import read_destination
from nodeprefetch.submit.endpoint import Endpoint, deepest_text, parse_endpoint
from nodeprefetch.submit.queue import Buffer, Outbox, PendingProgress, is_worth_sending
from nodeprefetch.submit.retry import (
    Accepted,
    DeliveryResult,
    Rejected,
    RetryState,
    Transport,
    Unavailable,
    Undeliverable,
    UnsupportedProtocol,
    WireProtocol,
)
from nodeprefetch.values.duration import format_duration

__all__ = ["MetricsProtocol", "Submitter", "parse_endpoint"]

MetricsProtocol = Literal["auto", "http", "grpc"]
"""`auto`: HTTP, or image-prefetcher's gRPC if the aggregator does not support that."""

REQUEST_LIMIT = 10.0
"""Seconds after which a request without a response is cancelled and sent again."""

PROGRESS_INTERVAL = 5.0
"""Seconds between two batches with progress, if the aggregator does not ask for a longer time."""

MAX_PROGRESS_INTERVAL = 60.0
"""Seconds, whatever the aggregator asks for."""

GATHERING = 0.1
"""Seconds that an event waits for others: the end of a pull, that of its image, and the start of the next pull."""

OpenTransport = Callable[[WireProtocol], AbstractAsyncContextManager[Transport]]


class Submitter(Deliverer):
    """Delivers events to an aggregator.

    Events wait until the ID of the run is known. Then they are sent a tenth of a second later, or with the next request
    while one is under way. What is not acknowledged is sent again, after growing delays. Requests are made one after
    another, so the aggregator gets events in order, some of them twice. Of progress only the latest is sent, every few
    seconds.

    Args:
        endpoint: address of the aggregator, see `parse_endpoint`.
        warn: called with each warning once. Must not raise.
        node: name of the node.
        instance: name of the installation.
        protocol: what the aggregator supports.
        ca_file: PEM file of the CA certificates to trust instead of the system's; for https.
        token_file: file with a bearer token.
        jitter: random numbers from 0 to 1.
        open_transport: connects to the aggregator, for tests.

    Raises:
        UsageError: the endpoint is invalid, a file cannot be read, or the combination is invalid; lists all problems.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        warn: Callable[[str], None],
        node: str,
        instance: str = "",
        protocol: MetricsProtocol = "auto",
        ca_file: str | None = None,
        token_file: str | None = None,
        jitter: Callable[[], float] = random.random,
        open_transport: OpenTransport | None = None,
    ) -> None:
        self._destination = read_destination(endpoint, ca_file=ca_file, token_file=token_file)
        self._endpoint = self._destination.endpoint
        self._retry = RetryState(_protocols(self._endpoint, protocol), jitter)
        self._open_transport = open_transport or self._open
        self._warn = warn
        self._warned: set[str] = set()
        self._progress = PendingProgress(PROGRESS_INTERVAL, trio.current_time)
        self._buffer = Buffer()
        self._outbox = Outbox(self._buffer, self._progress)
        self._run_id = ""
        self._node = node
        self._instance = instance
        self._version = __version__
        self._working = trio.Lock()
        self._woken = trio.Event()
        self._idle = trio.Event()
        """Set while there is nothing to send but progress."""

        self._idle.set()
        self._over = trio.Event()
        self._finishing = trio.Event()
        self._last_error = ""

    def __repr__(self) -> str:
        return f"Submitter({str(self._endpoint)!r})"

    def emit(self, event: Event) -> None:
        """Take an event. Does not wait and does not raise."""
        if isinstance(event, RunStarted):
            self._run_id, self._node = event.run_id, event.node
            self._instance, self._version = event.instance, event.version
        elif isinstance(event, RunFinished) and not self._run_id:  # no runtime was available
            self._run_id = event.run_id
        if isinstance(event, RunFinished):
            self._hurry()
        self._progress.note(event)
        if is_worth_sending(event) and not isinstance(event, Progress):
            self._buffer.add(event)
            if self._idle.is_set():
                self._idle = trio.Event()
        self._woken.set()

    async def run(self) -> None:
        """Deliver in the background until cancelled, or until `finish` has nothing left to do."""
        async with self._working:
            await self._work()

    async def flush(self) -> None:
        """Wait, while `run` is active, until all events are acknowledged. The caller limits the time."""
        await self._idle.wait()

    async def finish(self) -> None:
        """Deliver what is left. Returns when all of it is acknowledged; the caller limits the time.

        May be called while `run` is active, which then ends, or after it was cancelled.
        """
        self._hurry()
        self._finishing.set()
        self._woken.set()
        try:
            async with self._working:
                await self._work()
        finally:
            self._warn_of_losses()

    def _hurry(self) -> None:
        """Shorten delays: the run is over, and the process waits for the rest."""
        if not self._over.is_set():
            self._over.set()
            self._retry.hurry()

    async def _work(self) -> None:
        while await self._has_events():
            protocol = self._retry.protocol
            try:
                async with self._open_transport(protocol) as transport:
                    while self._retry.protocol is protocol and await self._has_events():
                        if not (self._outbox.is_under_way or self._over.is_set()):
                            await self._wait(GATHERING)
                        await self._handle(await self._deliver(transport))
            except Exception as error:  # noqa: BLE001 - whatever is wrong here, the run continues
                await self._handle(Unavailable(f"unexpected error: {deepest_text(error)}"))

    async def _has_events(self) -> bool:
        """Wait for something to send. False if nothing more will come."""
        while not (self._outbox and self._run_id):
            self._idle.set()
            if self._finishing.is_set():
                return False
            self._woken = trio.Event()
            with trio.move_on_at(self._progress.due_at if self._run_id else inf):
                await self._woken.wait()
        return True

    async def _deliver(self, transport: Transport) -> DeliveryResult:
        batch = Batch(
            run_id=self._run_id,
            node=self._node,
            version=self._version,
            instance=self._instance,
            events=cast("tuple[AnyEvent, ...]", self._outbox.next_events()),
        )
        with trio.move_on_after(REQUEST_LIMIT):
            return await transport.deliver(batch)
        return Unavailable(f"no answer in {format_duration(REQUEST_LIMIT)}")

    async def _handle(self, result: DeliveryResult) -> None:
        protocol = self._retry.protocol
        delay = self._retry.delay_after(result)
        match result:
            case Accepted():
                self._outbox.acknowledged()
                self._progress.interval = min(max(result.progress_interval, PROGRESS_INTERVAL), MAX_PROGRESS_INTERVAL)
                self._last_error = ""
            case Undeliverable():
                dropped = self._outbox.split()
                if dropped is not None:
                    self._warn_once(
                        "undeliverable", f"cannot receive an event ({type(dropped).__name__}): {result.text}"
                    )
            case UnsupportedProtocol() if protocol is not self._retry.protocol:
                self._last_error = result.text
                if self._retry.protocol is WireProtocol.GRPC:
                    self._warn_once("protocol", f"does not support this protocol ({result.text}), trying gRPC")
            case Rejected() | UnsupportedProtocol(certain=True):
                self._last_error = result.text
                self._warn_once("rejected", f"rejects results, will keep retrying: {result.text}")
            case Unavailable() | UnsupportedProtocol():
                self._last_error = result.text
                self._warn_once("unavailable", f"is unavailable, retrying: {result.text}")
        await self._wait(delay)

    async def _wait(self, seconds: float) -> None:
        if self._over.is_set():
            await trio.sleep(seconds)
        else:
            with trio.move_on_after(seconds):
                await self._over.wait()

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self._warn(f"metrics: the aggregator at {self._endpoint} {text}")

    def _warn_of_losses(self) -> None:
        dropped, left = self._buffer.dropped, self._outbox.results
        if dropped:
            self._warn_once("dropped", f"was unreachable for too long; dropped the {dropped} oldest results")
        if left:
            because = self._last_error or "no answer yet"
            self._warn_once("left", f"did not acknowledge {left} results in time: {because}")

    @asynccontextmanager
    async def _open(self, protocol: WireProtocol) -> AsyncGenerator[Transport]:
        if protocol is WireProtocol.GRPC:
            from nodeprefetch.submit.grpc import open_grpc  # noqa: PLC0415

            async with open_grpc(self._endpoint, token=self._destination.token) as grpc:
                yield grpc
            return
        # Takes some 200 ms if nothing is cached; in a thread, pulls can start meanwhile.
        await trio.to_thread.run_sync(importlib.import_module, "nodeprefetch.submit.http")
        from nodeprefetch.submit.http import HttpTransport, open_poster  # noqa: PLC0415

        async with open_poster(self._destination) as poster:
            yield HttpTransport(poster)


def _protocols(endpoint: Endpoint, protocol: MetricsProtocol) -> tuple[WireProtocol, ...]:
    """The protocols to try. The legacy gRPC supports neither TLS nor a prefix."""
    can_grpc = not endpoint.is_tls and not endpoint.prefix
    if protocol == "grpc":
        if not can_grpc:
            raise UsageError([f"the legacy gRPC protocol supports neither TLS nor a path: {endpoint} (use HOST:PORT)"])
        return (WireProtocol.GRPC,)
    return (WireProtocol.HTTP, WireProtocol.GRPC) if protocol == "auto" and can_grpc else (WireProtocol.HTTP,)
