"""What the routes share: the store and its writer, limits, counters."""

from collections.abc import Callable
from dataclasses import dataclass

from nodeprefetch.aggregator.access.auth import Authenticator
from nodeprefetch.aggregator.counters import Budget, Counters
from nodeprefetch.aggregator.fair_lock import FairLock
from nodeprefetch.aggregator.fair_share import FairShare
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.backlog import RenderedRows
from nodeprefetch.aggregator.store.overview import Overviews
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.store.writer import Writer
from nodeprefetch.aggregator.web.coalescer import Coalescer
from nodeprefetch.aggregator.web.decode import Decoder


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of one aggregator."""

    settings: AggregatorSettings
    store: Store
    writer: Writer
    overviews: Overviews
    decoder: Decoder
    authenticator: Authenticator
    counters: Counters
    budget: Budget
    readers: FairShare
    """Readers of the live stream."""

    rendered: RenderedRows
    lock: FairLock
    """Held by queries, and while large bodies are decoded."""

    expositions: Coalescer

    log: Callable[[str], None]
    """Logs a line."""

    @property
    def bounds(self) -> Bounds:
        """The limits of what is accepted."""
        return self.settings.bounds

    def debug(self, line: str) -> None:
        """Log a line if `--debug` is set."""
        if self.settings.debug:
            self.log(line)


def make_service(
    settings: AggregatorSettings, store: Store, authenticator: Authenticator, log: Callable[[str], None]
) -> Service:
    """Return a service for an open store. The caller must run `writer.run`."""
    budget = Budget(settings.bounds.in_flight, settings.bounds.retry_after)
    lock = FairLock()
    return Service(
        settings=settings,
        store=store,
        writer=Writer(store),
        overviews=Overviews(store),
        decoder=Decoder(settings.bounds),
        authenticator=authenticator,
        counters=Counters(),
        budget=budget,
        readers=FairShare(settings.bounds.readers),
        rendered=RenderedRows(store.database, budget),
        lock=lock,
        expositions=Coalescer(lock),
        log=log,
    )
