"""Sends a run's events to an aggregator while they happen, at least once, whatever that one does."""

import importlib
import random
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, cast

import trio

from nodeprefetch import __version__
from nodeprefetch.errors import Problems, UsageError
from nodeprefetch.events import AnyEvent, Batch, Event, RunFinished, RunStarted
from nodeprefetch.report.readers import ProgressPace, Reporter
from nodeprefetch.submit.endpoint import Endpoint, deepest_text, parse_endpoint
from nodeprefetch.submit.queue import Buffer, Outbox, is_worth_sending
from nodeprefetch.submit.retry import (
    Accepted,
    Answer,
    Delivery,
    Foreign,
    Persistence,
    Refused,
    Unavailable,
    Unfit,
    Wire,
)
from nodeprefetch.text.plain_file import open_given
from nodeprefetch.text.token_file import TokenFile

__all__ = ["MetricsProtocol", "Submitter", "parse_endpoint"]

MetricsProtocol = Literal["auto", "http", "grpc"]
"""`auto`: our stream, and the older tool's gRPC where the peer does not speak it."""

REQUEST_LIMIT = 10.0
"""Seconds after which a request without an answer is cut and sent again."""

PROGRESS_INTERVAL = 5.0
"""Seconds between two tellings of how far an attempt is: a thousand nodes tell one aggregator."""

OpenDelivery = Callable[[Wire], AbstractAsyncContextManager[Delivery]]


class Submitter(Reporter):
    """Feeds an aggregator.

    Events wait until the run's ID is known, then go at once when nothing is under way, else together in the next
    request. What is not acknowledged is sent again, with growing pauses; requests are made one after another, so an
    aggregator gets events in order, some of them twice.

    Args:
        endpoint: see `parse_endpoint`.
        protocol: what is spoken there.
        node: the node's real name.
        instance: name of the installation.
        warn: told what people should know, each thing once. Must not raise.
        ca_file: PEM file of the authorities to trust, in place of the system's; for https.
        token_file: file with a bearer token.
        jitter: random numbers from 0 to 1.
        open_delivery: opens the way to the aggregator, for tests.

    Raises:
        UsageError: the endpoint is none, a file cannot be read, or the combination makes no sense; all that is wrong.
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
        open_delivery: OpenDelivery | None = None,
    ) -> None:
        self._tls: ssl.SSLContext | None = None
        self._token: TokenFile | None = None
        problems = Problems()
        with problems.collected():
            self._token = TokenFile(token_file) if token_file else None
        with problems.collected():
            self._endpoint = parse_endpoint(endpoint)
            self._persistence = Persistence(_wires(self._endpoint, protocol), jitter)
            self._tls = _trust(self._endpoint, ca_file)
        problems.raise_if_any()
        self._open_delivery = open_delivery or self._open
        self._warn = warn
        self._complaints: set[str] = set()
        self._pace = ProgressPace(PROGRESS_INTERVAL, trio.current_time, at_once=True)
        self._buffer = Buffer()
        self._outbox = Outbox(self._buffer)
        self._run_id = ""
        self._node = node
        self._instance = instance
        self._version = __version__
        self._working = trio.Lock()
        self._told = trio.Event()
        self._over = trio.Event()
        self._finishing = trio.Event()
        self._trouble = ""

    def __repr__(self) -> str:
        return f"Submitter({str(self._endpoint)!r})"

    def emit(self, event: Event) -> None:
        """Take an event. Does not wait and does not raise."""
        if isinstance(event, RunStarted):
            self._run_id, self._node = event.run_id, event.node
            self._instance, self._version = event.instance, event.version
        elif isinstance(event, RunFinished) and not self._run_id:  # there was no runtime to start with
            self._run_id = event.run_id
        if isinstance(event, RunFinished):
            self._hurry()
        if is_worth_sending(event) and self._pace.passes(event):
            self._buffer.add(event)
            self._told.set()

    async def run(self) -> None:
        """Deliver in the background until cancelled, or until `finish` has nothing left to do."""
        async with self._working:
            await self._work()

    async def finish(self) -> None:
        """Deliver what is left. Returns when all of it is acknowledged; the caller limits the time.

        It may be called while `run` goes on, which then ends, or after that was cancelled.
        """
        self._hurry()
        self._finishing.set()
        self._told.set()
        try:
            async with self._working:
                await self._work()
        finally:
            self._say_what_is_missing()

    def _hurry(self) -> None:
        """The run is over: the process waits for what is left, and pauses are short."""
        if not self._over.is_set():
            self._over.set()
            self._persistence.hurry()

    async def _work(self) -> None:
        while await self._have_something():
            wire = self._persistence.wire
            try:
                async with self._open_delivery(wire) as delivery:
                    while self._persistence.wire is wire and await self._have_something():
                        await self._go_on(await self._deliver(delivery))
            except Exception as error:  # noqa: BLE001 - whatever is wrong here, the run goes on
                await self._go_on(Unavailable(f"unexpected: {deepest_text(error)}"))

    async def _have_something(self) -> bool:
        """Wait for something to send. False when nothing will come any more."""
        while not (self._outbox and self._run_id):
            if self._finishing.is_set():
                return False
            self._told = trio.Event()
            await self._told.wait()
        return True

    async def _deliver(self, delivery: Delivery) -> Answer:
        batch = Batch(
            run_id=self._run_id,
            node=self._node,
            version=self._version,
            instance=self._instance,
            events=cast("tuple[AnyEvent, ...]", self._outbox.portion()),
        )
        with trio.move_on_after(REQUEST_LIMIT):
            return await delivery.deliver(batch)
        return Unavailable(f"no answer in {REQUEST_LIMIT:g} s")

    async def _go_on(self, answer: Answer) -> None:
        wire = self._persistence.wire
        pause = self._persistence.pause_after(answer)
        match answer:
            case Accepted():
                self._outbox.acknowledged()
                self._trouble = ""
            case Unfit():
                dropped = self._outbox.halve()
                if dropped is not None:
                    self._say("unfit", f"an event ({type(dropped).__name__}) cannot be delivered: {answer.text}")
            case Foreign() if wire is not self._persistence.wire:
                self._trouble = answer.text
                if self._persistence.wire is Wire.GRPC:
                    self._say("foreign", f"does not take our stream ({answer.text}); trying the older gRPC")
            case Refused() | Foreign(certain=True):
                self._trouble = answer.text
                self._say("refused", f"refuses results, trying again now and then: {answer.text}")
            case Unavailable() | Foreign():
                self._trouble = answer.text
                self._say("unavailable", f"does not take results, trying again: {answer.text}")
        await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        if self._over.is_set():
            await trio.sleep(seconds)
        else:
            with trio.move_on_after(seconds):
                await self._over.wait()

    def _say(self, about: str, text: str) -> None:
        if about not in self._complaints:
            self._complaints.add(about)
            self._warn(f"metrics: the aggregator at {self._endpoint} {text}")

    def _say_what_is_missing(self) -> None:
        dropped, left = self._buffer.dropped, self._outbox.results
        if dropped:
            self._say("dropped", f"was away for too long: the {dropped} oldest results had to go")
        if left:
            because = self._trouble or "no answer yet"
            self._say("left", f"did not take {left} events within the time given: {because}")

    @asynccontextmanager
    async def _open(self, wire: Wire) -> AsyncGenerator[Delivery]:
        if wire is Wire.GRPC:
            from nodeprefetch.submit.grpc import open_grpc  # noqa: PLC0415

            async with open_grpc(self._endpoint, token=self._token) as delivery:
                yield delivery
            return
        # Some 200 ms where nothing is cached: in a thread, so that pulls begin meanwhile.
        await trio.to_thread.run_sync(importlib.import_module, "nodeprefetch.submit.http")
        from nodeprefetch.submit.http import open_http, system_trust  # noqa: PLC0415

        if self._endpoint.is_tls and self._tls is None:
            self._tls = await system_trust()
        async with open_http(self._endpoint, tls=self._tls, token=self._token) as http:
            yield http


def _wires(endpoint: Endpoint, protocol: MetricsProtocol) -> tuple[Wire, ...]:
    """The protocols to try. The older gRPC knows neither TLS nor a prefix."""
    can_grpc = not endpoint.is_tls and not endpoint.prefix
    if protocol == "grpc":
        if not can_grpc:
            raise UsageError(
                [f"the older gRPC protocol knows neither TLS nor a path, so {endpoint} cannot be: give HOST:PORT"]
            )
        return (Wire.GRPC,)
    return (Wire.HTTP, Wire.GRPC) if protocol == "auto" and can_grpc else (Wire.HTTP,)


def _trust(endpoint: Endpoint, ca_file: str | None) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    if not endpoint.is_tls:
        raise UsageError([f"a CA file is given for {endpoint}, which is not https"])
    try:
        open_given(ca_file).close()  # OpenSSL would wait for a writer of a FIFO
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also ssl.SSLError
        raise UsageError(
            [f"cannot read certificates from the CA file {ca_file!r}: {error.strerror or error}"]
        ) from error
