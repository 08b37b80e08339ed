"""What the routes share: the store, the way into it, bounds, counters."""

from collections.abc import Callable
from dataclasses import dataclass

from nodeprefetch.aggregator.access.auth import Authenticator
from nodeprefetch.aggregator.counters import Budget, Counters
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.shares import Shares
from nodeprefetch.aggregator.store.backlog import Texts
from nodeprefetch.aggregator.store.overview import Overviews
from nodeprefetch.aggregator.store.writer import Ingest, Store
from nodeprefetch.aggregator.turns import SharedTexts, Turns
from nodeprefetch.aggregator.web.decode import Decoder


@dataclass(frozen=True, kw_only=True)
class Service:
    """One aggregator."""

    settings: AggregatorSettings
    store: Store
    ingest: Ingest
    overviews: Overviews
    decoder: Decoder
    authenticator: Authenticator
    counters: Counters
    budget: Budget
    readers: Shares
    """Of the live stream."""
    texts: Texts
    turns: Turns
    """For reading, and for decoding large bodies."""

    expositions: SharedTexts

    log: Callable[[str], None]
    """Takes a line for people."""

    @property
    def bounds(self) -> Bounds:
        """What is too much."""
        return self.settings.bounds

    def debug(self, line: str) -> None:
        """A line for `--debug`."""
        if self.settings.debug:
            self.log(line)


def make_service(
    settings: AggregatorSettings, store: Store, authenticator: Authenticator, log: Callable[[str], None]
) -> Service:
    """A service over an open store; `ingest.run` must be running."""
    budget = Budget(settings.bounds.in_flight, settings.bounds.retry_after)
    turns = Turns()
    return Service(
        settings=settings,
        store=store,
        ingest=Ingest(store),
        overviews=Overviews(store),
        decoder=Decoder(settings.bounds),
        authenticator=authenticator,
        counters=Counters(),
        budget=budget,
        readers=Shares(settings.bounds.readers),
        texts=Texts(store.database, budget),
        turns=turns,
        expositions=SharedTexts(turns),
        log=log,
    )
