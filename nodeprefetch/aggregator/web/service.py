"""What the routes share: the store and its writer, limits, counters."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from nodeprefetch.aggregator.access.auth import Authenticator
from nodeprefetch.aggregator.counters import Budget, Counters
from nodeprefetch.aggregator.fair_lock import FairLock
from nodeprefetch.aggregator.fair_share import FairShare
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.backlog import RenderedRows
from nodeprefetch.aggregator.store.overview import Overviews
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.store.writer import Writer
from nodeprefetch.aggregator.tickets.desk import TicketDesk
from nodeprefetch.aggregator.tickets.limits import PullingNodes
from nodeprefetch.aggregator.web.boards import Boards, SharedTexts
from nodeprefetch.aggregator.web.coalescer import Coalescer
from nodeprefetch.aggregator.web.decode import Decoder
from nodeprefetch.aggregator.web.decode_ticket import TicketDecoder
from nodeprefetch.aggregator.web.progress_interval import ProgressInterval


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
    boards: Boards
    texts: SharedTexts
    """Messages of boards that readers are sending."""

    lock: FairLock
    """Held by queries, and while large bodies are decoded."""

    expositions: Coalescer
    progress_interval: ProgressInterval
    tickets: TicketDesk
    ticket_decoder: TicketDecoder

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
    settings: AggregatorSettings,
    store: Store,
    authenticator: Authenticator,
    log: Callable[[str], None],
    limits: PullingNodes | None = None,
) -> Service:
    """Return a service for an open store. The caller must run `writer.run`, `tickets.run` and `boards.run`.

    Args:
        settings: how to serve.
        store: where results are.
        authenticator: finds out who sends a request.
        log: logs a line.
        limits: how many nodes may pull; None: what the settings say.
    """
    limits = limits or PullingNodes(settings.pulling_nodes, settings.pulling_nodes_file)
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
        boards=Boards(store, lock, settings.bounds.retry_after),
        texts=SharedTexts(budget, settings.bounds.in_flight // 4),
        lock=lock,
        expositions=Coalescer(lock),
        progress_interval=ProgressInterval(trio.current_time),
        tickets=TicketDesk(limits, settings.growth, settings.bounds),
        ticket_decoder=TicketDecoder(settings.bounds),
        log=log,
    )
