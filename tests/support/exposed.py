"""The metrics of an aggregator that has seen all that has metrics."""

from functools import cache

import trio
from prometheus_client.parser import text_string_to_metric_families

from nodeprefetch.aggregator.access.auth import Anyone
from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.records import Submission
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.web.exposition import exposition
from nodeprefetch.aggregator.web.service import make_service
from nodeprefetch.events import GateOpened, ListRejected, Outcome, RegistryThrottled, TagMoved
from tests.support.batches import attempt, batch_of, begun, ended
from tests.support.ticket_requests import pulling

_BATCHES = (
    batch_of(
        ListRejected(problems=("no",), since=1),
        begun("a:1", "b:1"),
        attempt("a:1"),
        attempt("b:1", error="no"),
        TagMoved(image="a:1", before="sha256:0", after="sha256:1"),
        RegistryThrottled(registry="quay.io", seconds=3, total=3),
        ended("a:1", digest="sha256:1"),
        ended("b:1", Outcome.FAILED),
        GateOpened(after=900, gave_up=True, missing=("b:1",), missing_count=1),
    ),
)


@cache
def exposed() -> dict[str, frozenset[str]]:
    """Labels of the series that Prometheus gets, by their names."""
    return trio.run(_exposed)


async def _exposed() -> dict[str, frozenset[str]]:
    with open_database(None) as database:
        store = Store(database, Bounds())
        store.write([[Submission(batch=batch) for batch in _BATCHES]], 1000)
        service = make_service(AggregatorSettings(pulling_nodes=5), store, Anyone(), lambda _: None)
        service.tickets.ask(pulling("node-1"))
        for counted in (service.counters.accepted, service.counters.duplicates, service.counters.requests):
            counted["http"] += 1
        service.counters.refused["malformed"] += 1
        text, _ = await exposition(service, "text/plain", "a")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {name: frozenset(labels) for name, labels in found.items()}
