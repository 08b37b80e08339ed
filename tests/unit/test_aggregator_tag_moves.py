"""Moves of tags, as the aggregator stores and counts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeprefetch.aggregator.settings import AggregatorSettings, Bounds
from nodeprefetch.aggregator.store.records import Receipt, Submission
from nodeprefetch.aggregator.store.retention import forget
from nodeprefetch.aggregator.store.schema import open_database
from nodeprefetch.aggregator.store.store import Store
from nodeprefetch.events import TagMoved
from tests.support.batches import attempt, batch_of, begun, ended


@pytest.fixture
def store():
    with open_database(None) as database:
        yield Store(database, Bounds())


def moved(image: str = "a:1", *, at: float = 100.0, before: str = "sha256:1", after: str = "sha256:2") -> TagMoved:
    return TagMoved(at=at, image=image, before=before, after=after)


def one(store, batch, now=1000):
    (answer,) = store.write([[Submission(batch=batch)]], now)
    return answer


def totals(store):
    names = store.records.images.by_number()
    return {names[image]: moves for image, moves in store.records.tag_moves.totals.items()}


def last_moves(store):
    select = "SELECT name, moved_from, moved_to FROM state JOIN image ON image.id = image WHERE moved_from <> ''"
    return store.database.execute(select).fetchall()


def test_a_move_that_comes_again_counts_once(store):
    batch = batch_of(begun("a:1"), attempt(attempt_id="x"), moved(), ended())
    one(store, batch)

    assert Receipt(accepted=0, duplicates=4) == one(store, batch)
    assert Receipt(accepted=0, duplicates=1) == one(store, batch_of(moved()))
    assert {"a:1": 1} == totals(store)


def test_a_move_of_an_earlier_run_that_comes_again_after_a_later_one_counts_once(store):
    one(store, batch_of(moved()))
    one(store, batch_of(moved(before="sha256:2", after="sha256:3"), run_id="run-2"))

    assert Receipt(accepted=0, duplicates=1) == one(store, batch_of(moved()))
    assert {"a:1": 2} == totals(store)
    assert [("a:1", "sha256:2", "sha256:3")] == last_moves(store)


def test_moves_count_in_the_order_of_runs_whatever_the_nodes_clock_says(store):
    one(store, batch_of(moved(at=500)))
    one(store, batch_of(moved(at=100, before="sha256:2", after="sha256:1"), run_id="run-2"))

    assert {"a:1": 2} == totals(store)
    assert [("a:1", "sha256:2", "sha256:1")] == last_moves(store)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30))
def test_whatever_arrives_again_each_move_counts_once(runs):
    """Runs arrive in their order, and after each of them the batch of an earlier one again."""
    with open_database(None) as database:
        store, batches = Store(database, Bounds()), []
        for number, (has_moved, again) in enumerate(runs):
            events = [attempt(attempt_id=str(number)), *([moved(at=number)] if has_moved else [])]
            batches.append(batch_of(*events, run_id=f"run-{number}"))
            one(store, batches[-1])
            one(store, batches[again % len(batches)])

        assert {"a:1": sum(has_moved for has_moved, _ in runs)} == {"a:1": 0} | totals(store)


def test_the_last_move_goes_with_the_image_that_leaves_the_list_and_the_count_stays(store):
    one(store, batch_of(begun("a:1"), moved()))
    one(store, batch_of(begun("b:1", run_id="run-2"), run_id="run-2"))

    assert [] == last_moves(store)
    assert {"a:1": 1} == totals(store)


def test_a_refused_submission_counts_nothing(store):
    store.records.bounds = Bounds(states=1)

    refused = one(store, batch_of(moved("a:1"), moved("b:1")))

    assert "too_many_states" == refused.reason
    assert ({}, 0) == (totals(store), store.records.states)


async def test_counts_survive_a_restart_and_go_with_their_image(store):
    one(store, batch_of(moved("a:1"), moved("b:1")))
    one(store, batch_of(moved("b:1"), run_id="run-2"), now=10**6)

    store.records.reload()
    assert {"a:1": 1, "b:1": 2} == totals(store)
    await forget(store, AggregatorSettings(retention=60), 10**6)

    assert {"b:1": 2} == totals(store)
    store.records.reload()
    assert {"b:1": 2} == totals(store)
