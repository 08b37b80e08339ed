"""Which nodes take pods although images are missing, as the aggregator knows it."""

import pytest

from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.gates import gave_up_of
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.events import GateOpened
from tests.support.batches import batch_of


@pytest.fixture
def store():
    with open_database(None) as database:
        yield Store(database, Bounds())


def gave_up(*missing: str, at: float = 100.0) -> GateOpened:
    return GateOpened(at=at, after=900, gave_up=True, missing=missing, missing_count=len(missing))


def opened(at: float = 200.0) -> GateOpened:
    return GateOpened(at=at, after=1000)


def one(store, batch, now=1000):
    (answer,) = store.write([[Submission(batch=batch)]], now)
    return answer


def counts(store):
    names = store.records.instances.by_number()
    return {names[instance]: count for instance, count in store.records.gates.gave_up().items()}


def shown(store, node: str, instance: str = "main"):
    numbers = store.records.nodes.find(node), store.records.instances.find(instance)
    return gave_up_of(store.database, *numbers)


def test_nodes_that_gave_up_are_counted_by_instance(store):
    one(store, batch_of(gave_up("a:1", "b:1")))
    one(store, batch_of(gave_up("a:1"), node="node-2"))
    one(store, batch_of(opened(), node="node-3"))
    one(store, batch_of(gave_up("c:1"), instance="other"))

    assert {"main": 2, "other": 1} == counts(store)
    assert {"at": 100.0, "missing": 2} == shown(store, "node-1")
    assert {} == shown(store, "node-3")


def test_images_that_come_later_end_it(store):
    one(store, batch_of(gave_up("a:1")))
    one(store, batch_of(gave_up("a:1", at=150), run_id="run-2"))
    one(store, batch_of(opened(), run_id="run-3"))

    assert ({}, {}) == (counts(store), shown(store, "node-1"))


def test_images_that_come_in_the_same_run_end_it(store):
    one(store, batch_of(gave_up("a:1"), opened()))

    assert {} == counts(store)


def test_what_arrives_again_counts_once_and_changes_nothing(store):
    one(store, batch_of(gave_up("a:1")))

    assert Receipt(accepted=0, duplicates=1) == one(store, batch_of(gave_up("a:1")))
    one(store, batch_of(opened(), run_id="run-2"))
    assert Receipt(accepted=0, duplicates=1) == one(store, batch_of(gave_up("a:1")))
    assert {} == counts(store)


def test_later_runs_count_whatever_the_nodes_clock_says(store):
    one(store, batch_of(gave_up("a:1", at=500)))
    one(store, batch_of(opened(at=100), run_id="run-2"))

    assert {} == counts(store)


async def test_it_is_forgotten_with_its_node(store):
    one(store, batch_of(gave_up("a:1")))
    one(store, batch_of(gave_up("a:1"), node="node-2"), now=10**6)

    await forget(store, AggregatorSettings(retention=60), 10**6)

    assert {"main": 1} == counts(store)
