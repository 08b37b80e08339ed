"""For how long registries throttled, as the aggregator counts it."""

import pytest

from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.aggregator.store.throttles import MOST_NAMED
from nodeprefetch.events import RegistryThrottled
from tests.support.batches import batch_of


@pytest.fixture
def store():
    with open_database(None) as database:
        yield Store(database, Bounds())


def throttled(registry: str, seconds: float, total: float) -> RegistryThrottled:
    return RegistryThrottled(registry=registry, seconds=seconds, total=total, error="429")


def one(store, batch, now=1000):
    (answer,) = store.write([[Submission(batch=batch)]], now)
    return answer


def test_pauses_are_summed_by_registry(store):
    one(store, batch_of(throttled("quay.io", 2, 2), throttled("ghcr.io", 1, 1), throttled("quay.io", 4, 6)))
    one(store, batch_of(throttled("quay.io", 3, 3), run_id="run-2"))

    assert {"quay.io": 9, "ghcr.io": 1} == store.records.throttles.totals


def test_an_event_that_comes_again_adds_nothing(store):
    batch = batch_of(throttled("quay.io", 2, 2))
    one(store, batch)

    assert Receipt(accepted=0, duplicates=1) == one(store, batch)
    assert {"quay.io": 2} == store.records.throttles.totals


def test_a_lost_event_is_made_up_for_by_the_next(store):
    one(store, batch_of(throttled("quay.io", 4, 6)))

    assert {"quay.io": 6} == store.records.throttles.totals


async def test_sums_stay_when_runs_are_forgotten(store):
    one(store, batch_of(throttled("quay.io", 2, 2), throttled("ghcr.io", 1, 1)))
    one(store, batch_of(throttled("quay.io", 3, 3), run_id="run-2"), now=10**6)

    await forget(store, AggregatorSettings(retention=60), 10**6)

    store.records.reload()
    assert {"quay.io": 5, "ghcr.io": 1} == store.records.throttles.totals
    rows = store.database.execute("SELECT run, registry, seconds FROM throttled ORDER BY run, registry").fetchall()
    assert [(0, "ghcr.io", 1), (0, "quay.io", 2), (2, "quay.io", 3)] == rows


def test_the_number_of_registries_is_bounded(store):
    names = [f"r{number}" for number in range(MOST_NAMED + 2)]
    one(store, batch_of(*[throttled(name, 1, 1) for name in names]))

    assert MOST_NAMED + 1 == len(store.records.throttles.totals)
    assert {"(others)", *names[:MOST_NAMED]} == set(store.records.throttles.totals)
